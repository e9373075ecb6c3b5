//! An object of a cache: parsed while there is something to do about it, else packed, which takes a tenth of the memory. It does not know
//! what there is to do.

use std::sync::{Arc, OnceLock};

use lz4_flex::block::{DecompressError, compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An object of a cache.
pub(super) enum Cached<K> {
    Parsed(Arc<K>),
    Packed(Box<[u8]>),
}

/// Why a packed object cannot be read: never so by design, since what was packed can be.
#[derive(Debug, thiserror::Error)]
#[error("what was packed cannot be read: {0}")]
pub(super) enum UnpackError {
    /// It is not what was packed.
    Packing(#[from] DecompressError),
    /// It is not such an object.
    Json(#[from] serde_json::Error),
}

/// The first object at rest of a cache. The others are mostly the same words: each is packed by what it differs in.
#[derive(Default)]
pub(super) struct Words(OnceLock<Vec<u8>>);

impl Words {
    fn pack(&self, object: &impl Serialize) -> Option<Box<[u8]>> {
        let text = serde_json::to_vec(object).ok()?;
        let words = self.0.get_or_init(|| text.clone());
        Some(compress_prepend_size_with_dict(&text, words).into_boxed_slice())
    }

    fn unpack<K: DeserializeOwned>(&self, packed: &[u8]) -> Result<K, UnpackError> {
        let words = self.0.get().map(Vec::as_slice).unwrap_or_default();
        let text = decompress_size_prepended_with_dict(packed, words)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl<K: Clone + Serialize + DeserializeOwned> Cached<K> {
    /// Keeps `object`, packed if it is at rest.
    pub(super) fn new(object: &K, is_at_rest: bool, words: &Words) -> Self {
        let packed = is_at_rest.then(|| words.pack(object)).flatten();
        packed.map_or_else(|| Self::Parsed(Arc::new(object.clone())), Self::Packed)
    }

    /// The object; `words` are those that it was packed by.
    pub(super) fn get(&self, words: &Words) -> Result<Arc<K>, UnpackError> {
        match self {
            Self::Parsed(object) => Ok(Arc::clone(object)),
            Self::Packed(packed) => words.unpack(packed).map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_at_rest_are_the_same_again_and_small() {
        let words = Words::default();
        let object = |name: &str| vec![name.to_owned(), "a long text that is in each of them".repeat(9)];
        for name in ["first", "second", "a third one"] {
            let packed = Cached::new(&object(name), true, &words);
            assert_eq!(*packed.get(&words).unwrap(), object(name));
            assert!(matches!(packed, Cached::Packed(packed) if packed.len() < 40), "{name}");
            assert!(matches!(Cached::new(&object(name), false, &words), Cached::Parsed(_)));
        }
    }
}
