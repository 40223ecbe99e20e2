//! Which of a cluster's 16384 slots a key is in. Source: the specification of Redis Cluster.

/// How many slots there are.
pub(super) const SLOTS: u16 = 16384;

/// The slot of a key: by what is between the first `{` and the next `}`, if anything is, else by all of it.
pub(super) fn slot(key: &str) -> u16 {
    crc16(tag(key).as_bytes()) % SLOTS
}

fn tag(key: &str) -> &str {
    let between = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|it| it.0);
    between.filter(|it| !it.is_empty()).unwrap_or(key)
}

/// CRC-16/XMODEM: the polynomial 0x1021, from 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| TABLE[usize::from((crc >> 8) as u8 ^ byte)] ^ (crc << 8))
}

static TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
        assert_ne!(slot("foo{}{bar}"), slot("bar"));
    }
}
