//! Updates that no replica would write.

pub(crate) const ORIGIN: u8 = 0x80;
pub(crate) const RIGHT: u8 = 0x40;
pub(crate) const SUB: u8 = 0x20;

/// Writes update v1 by hand.
#[derive(Clone, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn num(mut self, mut number: u64) -> Self {
        while number > 0x7f {
            self.0.push(0x80 | u8::try_from(number & 0x7f).unwrap());
            number >>= 7;
        }
        self.0.push(u8::try_from(number).unwrap());
        self
    }

    pub(crate) fn nums(self, numbers: &[u64]) -> Self {
        numbers
            .iter()
            .fold(self, |bytes, number| bytes.num(*number))
    }

    pub(crate) fn info(mut self, info: u8) -> Self {
        self.0.push(info);
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self = self.num(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// One client with so many blocks from clock 0, which follow.
    pub(crate) fn section(client: u64, blocks: u64) -> Self {
        Self::default().nums(&[1, blocks, client, 0])
    }
}
