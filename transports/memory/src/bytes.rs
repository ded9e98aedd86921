//! Copying to and from memory that other processes write at the same time.
//!
//! Every access of `load` and `store` is a relaxed atomic one: of aligned words, and of bytes
//! at the ends. A racing writer makes the bytes a mixture, never undefined. The short copies are
//! plain ones, of memory that one side owns.

use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const WORD: usize = size_of::<u64>();

/// Copies `len` bytes out of shared memory.
///
/// # Safety
/// `from` is valid for that many bytes, which this process accesses only atomically
/// meanwhile; `to` is valid for as many, which no other thread accesses.
pub(crate) unsafe fn load(from: *const u8, to: *mut u8, len: usize) {
    let head = from.align_offset(WORD).min(len);
    let tail = head + (len - head) / WORD * WORD;
    // SAFETY: each place lies in the ranges that the caller vouches for; the words start aligned in
    // shared memory.
    unsafe {
        for i in (0..head).chain(tail..len) {
            *to.add(i) = AtomicU8::from_ptr(from.add(i).cast_mut()).load(Relaxed);
        }
        let done = copy_blocks(from.add(head), to.add(head), tail - head);
        for i in (head + done..tail).step_by(WORD) {
            let value = AtomicU64::from_ptr(from.add(i).cast_mut().cast()).load(Relaxed);
            to.add(i).cast::<u64>().write_unaligned(value);
        }
    }
}

/// Copies the bytes into shared memory.
///
/// # Safety
/// `to` is valid for that many bytes, which this process accesses only atomically
/// meanwhile.
pub(crate) unsafe fn store(to: *mut u8, from: &[u8]) {
    let (from, len) = (from.as_ptr(), from.len());
    let head = to.align_offset(WORD).min(len);
    let tail = head + (len - head) / WORD * WORD;
    // SAFETY: as in `load`.
    unsafe {
        for i in (0..head).chain(tail..len) {
            AtomicU8::from_ptr(to.add(i)).store(*from.add(i), Relaxed);
        }
        let done = copy_blocks(from.add(head), to.add(head), tail - head);
        for i in (head + done..tail).step_by(WORD) {
            let value = from.add(i).cast::<u64>().read_unaligned();
            AtomicU64::from_ptr(to.add(i).cast()).store(value, Relaxed);
        }
    }
}

/// Copies the whole blocks of 64 bytes to or from shared memory, two words at once. Returns the
/// number of bytes.
///
/// These are instructions of the processor, for which a race is what it is for relaxed atomic
/// accesses: the language has no access that wide.
///
/// # Safety
/// Both are valid for `len` bytes and do not overlap; meanwhile only other processes and
/// atomic accesses of this process access them.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
unsafe fn copy_blocks(from: *const u8, to: *mut u8, len: usize) -> usize {
    let len = len / 64 * 64;
    if len > 0 {
        // SAFETY: counts up from `-len` to 0 and accesses that many bytes before both ends: the
        // caller's ranges.
        unsafe {
            std::arch::asm!(
                "2:",
                "movups {a}, [{from} + {at}]",
                "movups {b}, [{from} + {at} + 16]",
                "movups {c}, [{from} + {at} + 32]",
                "movups {d}, [{from} + {at} + 48]",
                "movups [{to} + {at}], {a}",
                "movups [{to} + {at} + 16], {b}",
                "movups [{to} + {at} + 32], {c}",
                "movups [{to} + {at} + 48], {d}",
                "add {at}, 64",
                "jnz 2b",
                from = in(reg) from.add(len),
                to = in(reg) to.add(len),
                at = inout(reg) len.wrapping_neg() => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack)
            );
        }
    }
    len
}

/// Without such instructions: copies nothing.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
unsafe fn copy_blocks(_from: *const u8, _to: *mut u8, _len: usize) -> usize {
    0
}

/// Bytes that are copied without a call, which would cost more than the copy.
pub const SHORT: usize = 64;

/// Copies `from`, at most [`SHORT`] bytes, to `to`, which is as long.
#[inline]
pub fn copy_short(from: &[u8], to: &mut [u8]) {
    assert!(from.len() <= SHORT && from.len() == to.len());
    // SAFETY: `to` has room for all of `from`, and is borrowed.
    unsafe { write_short(from, to.as_mut_ptr()) };
}

/// Appends `from`, at most [`SHORT`] bytes, to a vector that has room for them.
#[inline]
pub fn append_short(from: &[u8], to: &mut Vec<u8>) {
    let spare = to.spare_capacity_mut();
    assert!(from.len() <= SHORT && from.len() <= spare.len());
    // SAFETY: there is room for all of `from`, which is initialised then.
    unsafe {
        write_short(from, spare.as_mut_ptr().cast());
        to.set_len(to.len() + from.len());
    }
}

/// # Safety
/// `from` has at most [`SHORT`] bytes; `to` is valid for as many as it has, and does not overlap
/// it.
#[inline]
unsafe fn write_short(from: &[u8], to: *mut u8) {
    // SAFETY: the pieces are no longer than `from`, as the caller vouches for `to`.
    unsafe {
        match from.len() {
            32.. => write_ends::<32>(from, to),
            16.. => write_ends::<16>(from, to),
            8.. => write_ends::<8>(from, to),
            4.. => write_ends::<4>(from, to),
            2.. => write_ends::<2>(from, to),
            1 => write_ends::<1>(from, to),
            0 => {}
        }
    }
}

/// The first `N` bytes and the last, which may be partly the same.
///
/// # Safety
/// As for [`write_short`]; `from` has `N` bytes.
#[inline]
unsafe fn write_ends<const N: usize>(from: &[u8], to: *mut u8) {
    let last = from.len() - N;
    // SAFETY: both pieces lie in `from`, and as far into `to`.
    unsafe {
        ptr::copy_nonoverlapping(from.as_ptr(), to, N);
        ptr::copy_nonoverlapping(from.as_ptr().add(last), to.add(last), N);
    }
}

/// Prefetches a cache line, if the processor has an instruction for that. Reads nothing.
#[inline]
pub fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction takes any address and never faults; each such processor has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// As [`prefetch`], to be written: other processors give the line up.
#[inline]
pub fn prefetch_to_write(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as in `prefetch`; processors without the instruction ignore it.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// As [`prefetch_to_write`], for eight lines of 64 bytes.
#[inline]
pub fn prefetch_block_to_write(lines: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as in `prefetch_to_write`.
    unsafe {
        std::arch::asm!(
            "prefetchw [{0}]",
            "prefetchw [{0} + 64]",
            "prefetchw [{0} + 128]",
            "prefetchw [{0} + 192]",
            "prefetchw [{0} + 256]",
            "prefetchw [{0} + 320]",
            "prefetchw [{0} + 384]",
            "prefetchw [{0} + 448]",
            in(reg) lines,
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = lines;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_copies_of_every_length() {
        for len in 0..=SHORT {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8 | 0x80).collect();
            let mut copy = vec![0; len];
            copy_short(&bytes, &mut copy);
            assert_eq!(copy, bytes);
            let mut appended = Vec::with_capacity(1 + len);
            appended.push(7);
            append_short(&bytes, &mut appended);
            assert_eq!(appended.split_first(), Some((&7, &bytes[..])));
        }
    }

    #[test]
    #[should_panic(expected = "SHORT")]
    fn nothing_longer_is_taken_for_short() {
        append_short(&[0; SHORT + 1], &mut Vec::with_capacity(2 * SHORT));
    }

    #[test]
    fn every_alignment_and_length() {
        let mut memory = [0u64; 32];
        let base = memory.as_mut_ptr().cast::<u8>();
        for offset in 0..16 {
            for len in 0..230 {
                let bytes: Vec<u8> = (0..len).map(|i| (i + offset) as u8 | 0x80).collect();
                let mut back = vec![0; len];
                // SAFETY: 16 + 230 bytes are fewer than 256, and no other thread knows the memory.
                unsafe {
                    store(base.add(offset), &bytes);
                    load(base.add(offset), back.as_mut_ptr(), len);
                }
                assert_eq!(bytes, back, "{offset} {len}");
            }
        }
    }
}
