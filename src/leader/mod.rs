//! Who may act: the question every mutating call is asked last.
//!
//! Leadership only saves work. What keeps two processes apart is the compare-and-swap on the record, and the limited
//! life of a signed request; nothing here may be relied on for correctness.

mod gate;

pub use gate::{Gate, Permit};
