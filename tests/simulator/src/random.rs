//! `RequestIds`, keys and tokens from a seed: the same run gives the same ids. Not for anything that must be hard to guess.

/// `SplitMix64`, chosen because it is five lines and needs no crate.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of letters and digits: the look of keys and tokens.
    pub(crate) fn text(&mut self, length: usize) -> String {
        const LETTERS: [char; 32] = [
            'a', 'B', 'c', 'D', 'e', 'F', 'g', 'H', 'j', 'K', 'm', 'N', 'p', 'Q', 'r', 'S', 't', 'U', 'v', 'W', 'x',
            'Y', 'z', 'A', '2', '3', '4', '5', '6', '7', '8', '9',
        ];
        let mut letter = || usize::try_from(self.next() % 32).ok().and_then(|at| LETTERS.get(at)).copied();
        (0..length).filter_map(|_| letter()).collect()
    }

    /// An upper-case UUID, the look of ECS's `RequestIds`.
    pub(crate) fn request_id(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        format!(
            "{:08X}-{:04X}-{:04X}-{:04X}-{:012X}",
            bits >> 96,
            (bits >> 80) & 0xFFFF,
            (bits >> 64) & 0xFFFF,
            (bits >> 48) & 0xFFFF,
            bits & 0xFFFF_FFFF_FFFF
        )
    }
}
