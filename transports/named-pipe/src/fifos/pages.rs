//! How full a FIFO is. It holds pages, not bytes: what is written begins with what is left of the last page if its odd
//! bytes fit there, and takes fresh pages otherwise. A page is free again when all of it was read. The sender is the only
//! writer, so it counts pages, always at least as many as there are; how many bytes are unread the kernel says.

/// A writer's count of a FIFO's pages.
///
/// Invariant: fewer pages are in use than `used`, or as many and the last one is not fuller than `last`. Reading keeps it,
/// and so does each write, which never takes more pages than are counted.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Bytes of a page.
    page: usize,
    total: usize,
    used: usize,
    /// Bytes that were ever written into the last page.
    last: usize,
}

impl Pages {
    /// Of an empty FIFO that holds so many bytes in pages of this size.
    pub(crate) fn new(capacity: usize, page: usize) -> Self {
        Self { page, total: capacity / page, used: 0, last: page }
    }

    /// Bytes that an empty one takes whole.
    pub(crate) fn capacity(&self) -> usize {
        self.total * self.page
    }

    /// The FIFO holds so many bytes now.
    pub(crate) fn resized(&mut self, capacity: usize) {
        self.total = capacity / self.page;
    }

    /// Counts a write if it fits whole.
    pub(crate) fn take(&mut self, len: usize) -> bool {
        let (used, last) = self.after(len);
        let fits = used <= self.total;
        if fits {
            (self.used, self.last) = (used, last);
        }
        fits
    }

    /// Counts a write that the kernel took whole, whatever the count says.
    pub(crate) fn was_written(&mut self, len: usize) {
        if !self.take(len) {
            (self.used, self.last) = (self.total, self.page);
        }
    }

    /// Pages in use and the last one's bytes after a write.
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

    /// So many bytes are unread. Of two pages that follow one another the bytes did not fit into one, but for the first,
    /// of which a part may have been read.
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

    /// The kernel's pages, as `pipe_write` and `pipe_read` of Linux treat them: bytes written and bytes left of each.
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
                            prop_assert!(more.0.len() <= pages, "{} pages of {pages}", more.0.len());
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
