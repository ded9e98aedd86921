/// The producer's private positions, all in lines.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Where the next record begins.
    tail: u64,
    /// The first line that is not known to be free: the consumer's `head` as last read, plus the
    /// lines of the array.
    limit: u64,
    /// Records that end here or before need no checks: their lines and two more are free, and the
    /// array does not end before.
    fast_path_limit: u64,
    /// A line with a zero header word, beside the one at `tail`.
    cleared: u64,
    /// Lines from `tail` on that must be free for the last placed record.
    needed: u64,
}

impl Cursor {
    pub(super) fn new(lines: u64) -> Self {
        Self { tail: 0, limit: lines, fast_path_limit: 0, cleared: 0, needed: 0 }
    }

    #[inline]
    pub(super) fn tail(&self) -> u64 {
        self.tail
    }

    /// Lines that the last placed record needs.
    pub(super) fn needed(&self) -> u64 {
        self.needed
    }

    /// Sets what [`has_room`](Self::has_room) is asked for.
    pub(super) fn need(&mut self, lines: u64) {
        self.needed = lines;
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.is_free(self.tail + self.needed)
    }

    /// True if all lines before `end` are free.
    #[inline]
    pub(super) fn is_free(&self, end: u64) -> bool {
        end <= self.limit
    }

    /// Where a record of `lines` lines begins: at the tail, or after padding at the start of the
    /// array. It needs two more lines behind it.
    #[inline]
    pub(super) fn place(&mut self, lines: u64, size: u64) -> u64 {
        let room = size - (self.tail & (size - 1));
        let start = if lines <= room { self.tail } else { self.tail + room };
        self.needed = start + lines + 2 - self.tail;
        start
    }

    /// Lines up to `end` will be written with payload, perhaps without being published.
    #[inline]
    pub(super) fn spoil(&mut self, end: u64) {
        if self.cleared < end {
            self.cleared = self.tail;
        }
    }

    /// True if the header word at this line is zero already.
    #[inline]
    pub(super) fn is_cleared(&self, line: u64) -> bool {
        self.cleared == line
    }

    /// Moves behind a record of `lines` lines that ends at `end`. Returns the line to clear for
    /// another one as long, if that line is free.
    #[inline]
    pub(super) fn advance(&mut self, end: u64, lines: u64) -> Option<u64> {
        self.tail = end;
        let next = end + lines;
        (next < self.limit).then(|| {
            self.cleared = next;
            next
        })
    }

    /// Moves behind a record of one line.
    pub(super) fn step(&mut self) {
        self.tail += 1;
    }

    /// Lines of the last record, or 0 if nothing is cleared ahead.
    pub(super) fn last_lines(&self) -> u64 {
        self.cleared.saturating_sub(self.tail)
    }

    /// Takes over the consumer's cursor. Returns how many lines it has not released; `None` if it
    /// cannot be there.
    pub(super) fn set_head(&mut self, head: u64, size: u64) -> Option<u64> {
        let before = self.limit - size;
        if head < before || head > self.tail {
            return None;
        }
        self.limit = head + size;
        Some(self.tail - head)
    }

    /// Goes on at the same position in another array.
    pub(super) fn resize(&mut self, from: u64, to: u64) {
        self.limit = self.limit - from + to;
        self.fast_path_limit = 0;
    }

    /// Opens the fast path for this many lines, an eighth of the array at most.
    pub(super) fn open_fast_path(&mut self, lines: u64, size: u64) {
        let end = (self.tail | (size - 1)) + 1;
        let lines = lines.min(size / 8);
        self.fast_path_limit = (self.limit - 2).min(end).min(self.tail + lines);
    }

    #[inline]
    pub(super) fn is_fast(&self, lines: u64) -> bool {
        self.tail + lines <= self.fast_path_limit
    }
}
