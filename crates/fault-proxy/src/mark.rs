//! Finds bytes in a stream that comes in pieces.

#[cfg(test)]
mod tests;

/// Looks for one mark in one stream.
#[derive(Debug)]
pub(crate) struct Finder {
    mark: Vec<u8>,
    /// The end of what came before, one byte shorter than the mark.
    before: Vec<u8>,
}

impl Finder {
    pub(crate) fn new(mark: Vec<u8>) -> Finder {
        Finder { mark, before: Vec::new() }
    }

    /// Where in the next `piece` of the stream marks begin that end in it; 0 if one began before it.
    pub(crate) fn starts(&mut self, piece: &[u8]) -> Vec<usize> {
        if self.mark.is_empty() {
            return Vec::new();
        }
        let known = self.before.len();
        let text = [&self.before, piece].concat();
        let windows = text.windows(self.mark.len()).enumerate();
        let starts = windows.filter(|(_, it)| *it == self.mark);
        let starts = starts.map(|(start, _)| start.saturating_sub(known)).collect();
        self.before = text[text.len().saturating_sub(self.mark.len() - 1)..].to_vec();
        starts
    }
}
