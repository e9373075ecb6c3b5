//! Chance, from a seed. What comes out depends on what is asked, never on who asked first: two passes that begin in the same
//! instant may run in either order, and the run stays the same.

/// Draws numbers that look random and follow from the seed.
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The number that belongs to `what`.
    pub fn draw(self, what: &str) -> u64 {
        let hash = what.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        mix(hash ^ mix(self.0))
    }

    /// A number from `range`, by the number that belongs to `what`.
    pub fn within(self, what: &str, range: std::ops::RangeInclusive<u64>) -> u64 {
        range.start() + self.draw(what) % (range.end() - range.start() + 1)
    }

    /// Whether something happens that happens in `permille` of 1000 cases.
    pub fn happens(self, what: &str, permille: u64) -> bool {
        self.draw(what) % 1000 < permille
    }

    /// Dice of their own for `what`.
    pub fn sub(self, what: &str) -> Self {
        Self(self.draw(what))
    }
}

/// The finaliser of `SplitMix64`.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}
