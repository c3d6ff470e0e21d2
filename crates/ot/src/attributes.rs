use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value;

use crate::Side;

/// The format of an operation: names and JSON values.
///
/// In a change `null` removes the attribute. A value is replaced as a whole, however deep it is.
/// None at all costs no allocation, and a clone is shared.
#[derive(Clone, Default, PartialEq)]
pub struct Attributes(Option<Arc<BTreeMap<String, Value>>>);

impl Attributes {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().flat_map(|map| map.iter())
    }

    /// These, and then `next`. With `keep_null` an attribute that `next` removes stays as `null`:
    /// right for a change of text that is not here.
    #[must_use]
    pub fn compose(&self, next: &Self, keep_null: bool) -> Self {
        if next.is_empty() {
            return self.clone();
        }
        if self.is_empty() && (keep_null || next.iter().all(|(_, value)| !value.is_null())) {
            return next.clone();
        }
        let kept = self.iter().filter(|(name, _)| next.get(name).is_none());
        let set = next
            .iter()
            .filter(|(_, value)| keep_null || !value.is_null());
        kept.chain(set).map(owned).collect()
    }

    /// `other` after these were applied. Where both set one attribute, these win on the left.
    #[must_use]
    pub fn transform(&self, other: &Self, side: Side) -> Self {
        if side == Side::Right || self.is_empty() || other.is_empty() {
            return other.clone();
        }
        other
            .iter()
            .filter(|(name, _)| self.get(name).is_none())
            .map(owned)
            .collect()
    }

    /// What takes these back on text that had `base`. As in quill-delta, values that are objects or
    /// lists are set again even where they are the same.
    #[must_use]
    pub fn invert(&self, base: &Self) -> Self {
        let inverse = |(name, value): (&String, &Value)| match base.get(name) {
            Some(before) if before != value || before.is_object() || before.is_array() => {
                Some((name.clone(), before.clone()))
            }
            Some(_) => None,
            None => Some((name.clone(), Value::Null)),
        };
        self.iter().filter_map(inverse).collect()
    }

    /// What leads from these to `other`.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Self {
        let removed = self.iter().filter(|(name, _)| other.get(name).is_none());
        let set = other
            .iter()
            .filter(|(name, value)| self.get(name) != Some(value));
        removed
            .map(|(name, _)| (name.clone(), Value::Null))
            .chain(set.map(owned))
            .collect()
    }
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

impl FromIterator<(String, Value)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(attributes: T) -> Self {
        let map: BTreeMap<_, _> = attributes.into_iter().collect();
        Self(if map.is_empty() {
            None
        } else {
            Some(Arc::new(map))
        })
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
