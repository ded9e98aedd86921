//! How full a FIFO is.
//!
//! A FIFO holds pages, not bytes. The kernel puts the odd bytes of a write (its length modulo the
//! page size) into the last page if they fit there, and takes new pages for the rest. A page is
//! free again when all of it was read. The sender is the only writer, so it counts pages, always at
//! least as many as are in use. The kernel tells how many bytes are unread.

/// A writer's count of a FIFO's pages.
///
/// Invariant: fewer than `used` pages are in use, or exactly `used` and the last one has at most
/// `last` bytes. A read keeps it, since it only frees pages. A write keeps it, since it takes at
/// most the pages that are counted.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The size of a page, in bytes.
    page: usize,
    /// The pages that the FIFO can hold.
    total: usize,
    /// An upper bound of the pages in use.
    used: usize,
    /// An upper bound of the bytes that were written into the last page.
    last: usize,
}

impl Pages {
    /// The count of an empty FIFO that holds `capacity` bytes in pages of `page` bytes.
    pub(crate) fn new(capacity: usize, page: usize) -> Self {
        Self { page, total: capacity / page, used: 0, last: page }
    }

    /// The length of the longest write that an empty FIFO takes whole, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.total * self.page
    }

    /// The FIFO holds `capacity` bytes from now on.
    pub(crate) fn resized(&mut self, capacity: usize) {
        self.total = capacity / self.page;
    }

    /// Counts a write if it fits whole. True if it does.
    pub(crate) fn take(&mut self, len: usize) -> bool {
        let (used, last) = self.after(len);
        let fits = used <= self.total;
        if fits {
            (self.used, self.last) = (used, last);
        }
        fits
    }

    /// Counts a write that the kernel took whole, also if it does not fit by this count.
    pub(crate) fn was_written(&mut self, len: usize) {
        if !self.take(len) {
            (self.used, self.last) = (self.total, self.page);
        }
    }

    /// `used` and `last` after a write.
    fn after(&self, len: usize) -> (usize, usize) {
        let (whole, odd) = (len / self.page, len % self.page);
        match odd {
            0 if whole == 0 => (self.used, self.last),
            0 => (self.used + whole, self.page),
            _ if self.used > 0 && self.last + odd <= self.page => {
                (self.used + whole, if whole == 0 { self.last + odd } else { self.page })
            }
            _ => (self.used + whole + 1, odd),
        }
    }

    /// Lowers the count: the kernel says that `bytes` are unread. The bytes of two neighbouring
    /// pages did not fit into one, so that two pages have more bytes than one page holds; except
    /// for the first page, of which a part may have been read.
    pub(crate) fn are_unread(&mut self, bytes: usize) {
        let used = if bytes == 0 { 0 } else { 2 + 2 * (bytes / self.page) };
        if used < self.used || bytes == 0 {
            (self.used, self.last) = (used, self.page);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 4096;

    /// The pages of Linux' `pipe_write` and `pipe_read`: of each the bytes written and the bytes
    /// unread.
    #[derive(Default)]
    struct Kernel(VecDeque<(usize, usize)>);

    impl Kernel {
        fn write(&mut self, mut len: usize) {
            let odd = len % PAGE;
            if let Some((written, left)) =
                self.0.back_mut().filter(|(written, _)| odd > 0 && written + odd <= PAGE)
            {
                *written += odd;
                *left += odd;
                len -= odd;
            }
            while len > 0 {
                let page = len.min(PAGE);
                self.0.push_back((page, page));
                len -= page;
            }
        }

        fn read(&mut self, mut len: usize) {
            while len > 0
                && let Some((_, left)) = self.0.front_mut()
            {
                let got = len.min(*left);
                (*left, len) = (*left - got, len - got);
                if *left == 0 {
                    self.0.pop_front();
                }
            }
        }

        fn unread(&self) -> usize {
            self.0.iter().map(|(_, left)| left).sum()
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_fits(
            pages in 1..20usize,
            steps in prop::collection::vec((0..3u8, 1..70_000usize), 1..200),
        ) {
            let (mut count, mut kernel) = (Pages::new(pages * PAGE, PAGE), Kernel::default());
            for (step, len) in steps {
                match step {
                    0 => kernel.read(len),
                    1 => count.are_unread(kernel.unread()),
                    _ => {
                        let len = if len % 3 == 0 { len % 300 } else { len };
                        let mut more = Kernel(kernel.0.clone());
                        more.write(len);
                        if count.take(len) {
                            let used = more.0.len();
                            prop_assert!(used <= pages, "{used} pages of {pages}");
                            kernel = more;
                        } else if len <= PAGE && more.0.len() <= pages {
                            count.was_written(len);
                            kernel = more;
                        }
                    }
                }
            }
        }

        #[test]
        fn an_empty_one_takes_the_most(pages in 1..20usize, less in 0..70_000usize) {
            let mut count = Pages::new(pages * PAGE, PAGE);
            count.take(1);
            count.are_unread(0);
            let most = count.capacity();
            prop_assert!(count.take(most.saturating_sub(less)));
        }
    }
}
