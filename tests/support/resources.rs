//! What this process holds.

/// The descriptors of this process, as `/proc` names them.
pub(crate) fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut all: Vec<String> = entries
        .map(|e| std::fs::read_link(e.unwrap().path()))
        .map(|target| target.map_or("(closed)".into(), |t| t.to_string_lossy().into_owned()))
        .collect();
    // The descriptor of the listing itself is closed by now.
    all.retain(|target| !target.starts_with("/proc/"));
    all.sort_unstable();
    all
}

/// The number of mappings of channel memory.
pub(crate) fn channel_mappings() -> usize {
    // As on macOS it is memory of `shm_open`, which has lost its name.
    let unnamed = |line: &str| {
        line.split_once("/dev/shm/anyipc-").is_some_and(|(_, name)| !name.contains('/'))
    };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:anyipc") || unnamed(line)).count()
}

/// Bytes of resident memory.
pub(crate) fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}
