/// The numbers of the set bits of a word of 64, of those of many words that are counted through.
#[inline]
pub(crate) fn set_bits(index: u32, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(index * 64 + bit)
    })
}
