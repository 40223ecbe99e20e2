//! A disk as POSIX promises it: what was flushed is there after a power cut, and of the rest any
//! part, in sectors of 512 bytes.

use std::{collections::BTreeMap, mem, sync::Arc};

use super::chance::Chance;

const SECTOR: usize = 512;

/// What happened to the files of one folder, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A descriptor of a file, which is made unless there is one of this name.
    Open {
        descriptor: u32,
        name: Arc<str>,
        creates: bool,
    },
    Close {
        descriptor: u32,
    },
    /// A write began; `id` is its own.
    Write {
        id: usize,
        descriptor: u32,
        offset: usize,
        data: Arc<[u8]>,
    },
    Truncate {
        id: usize,
        descriptor: u32,
        len: usize,
    },
    /// A write or a cut returned: flushes that begin from now on cover it.
    Done {
        id: usize,
    },
    Unlink {
        name: Arc<str>,
    },
    /// A flush began. It covers what was done by now, once it has returned.
    FlushBegins {
        id: usize,
        descriptor: u32,
    },
    FlushEnds {
        id: usize,
    },
    /// An answer began to be sent to the client at this port.
    Answer {
        port: u16,
    },
    /// The process ended, and another one began.
    Restart,
}

/// The name under which the folder itself is opened.
pub(crate) const FOLDER: &str = ".";

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    /// What a process sees.
    names: BTreeMap<Arc<str>, usize>,
    names_flushed: BTreeMap<Arc<str>, usize>,
    names_pending: Vec<Naming>,
    descriptors: BTreeMap<u32, Option<usize>>,
    flushes: BTreeMap<usize, Flush>,
}

#[derive(Clone, Debug, Default)]
struct File {
    flushed: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    id: usize,
    change: Change,
    done: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Arc<[u8]> },
    Truncate { len: usize },
}

#[derive(Clone, Debug)]
enum Naming {
    Link(Arc<str>, usize),
    Unlink(Arc<str>),
}

#[derive(Clone, Debug)]
enum Flush {
    File { file: usize, ids: Vec<usize> },
    Folder { len: usize },
}

/// Which of the pending changes of a file, or of the folder, reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    All,
    Nothing,
    /// The oldest, and perhaps a part of the next one.
    Prefix,
    /// The newest.
    Suffix,
    /// All but one.
    OneMissing,
    /// Each with a chance of its own.
    SomeChanges,
    /// Each sector with a chance of its own.
    SomeSectors,
    /// All but one sector.
    SectorMissing,
    /// The oldest, and the next one up to somewhere inside a sector.
    Torn,
    /// The files have grown, and what should be there is zero.
    Zeros,
}

const LUCKS: [Luck; 10] = [
    Luck::All,
    Luck::Nothing,
    Luck::Prefix,
    Luck::Suffix,
    Luck::OneMissing,
    Luck::SomeChanges,
    Luck::SomeSectors,
    Luck::SectorMissing,
    Luck::Torn,
    Luck::Zeros,
];

impl Luck {
    pub(crate) fn any(chance: &mut Chance) -> Luck {
        LUCKS[chance.below(LUCKS.len())]
    }
}

impl Disk {
    /// Does what happened. With `ignore_flushes`, a flush does nothing.
    pub(crate) fn apply(&mut self, event: &Event, ignore_flushes: bool) {
        match event {
            Event::Open { descriptor, name, creates } => self.open(*descriptor, name, *creates),
            Event::Close { descriptor } => drop(self.descriptors.remove(descriptor)),
            Event::Write { id, descriptor, offset, data } => {
                let change = Change::Write { offset: *offset, data: data.clone() };
                self.change(*descriptor, *id, change);
            }
            Event::Truncate { id, descriptor, len } => {
                self.change(*descriptor, *id, Change::Truncate { len: *len });
            }
            Event::Done { id } => {
                let pending = self.files.iter_mut().flat_map(|it| &mut it.pending);
                pending.filter(|it| it.id == *id).for_each(|it| it.done = true);
            }
            Event::Unlink { name } => {
                if self.names.remove(name).is_some() {
                    self.names_pending.push(Naming::Unlink(name.clone()));
                }
            }
            Event::FlushBegins { id, descriptor } => self.begin_flush(*id, *descriptor),
            Event::FlushEnds { id } => {
                if let Some(flush) = self.flushes.remove(id).filter(|_| !ignore_flushes) {
                    self.flush(flush);
                }
            }
            Event::Answer { .. } => {}
            Event::Restart => {
                self.descriptors.clear();
                self.flushes.clear();
                // Whatever was under way when the process ended is over.
                let pending = self.files.iter_mut().flat_map(|it| &mut it.pending);
                pending.for_each(|it| it.done = true);
            }
        }
    }

    /// How many changes could be lost.
    pub(crate) fn pending_len(&self) -> usize {
        let changes: usize = self.files.iter().map(|it| it.pending.len()).sum();
        changes + self.names_pending.len()
    }

    /// Whether names could be lost.
    pub(crate) fn has_pending_names(&self) -> bool {
        !self.names_pending.is_empty()
    }

    /// Whether changes of the file of this name could be lost.
    pub(crate) fn is_pending(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|it| !self.files[*it].pending.is_empty())
    }

    /// The files after a power cut. `luck` is asked once for the folder and once for each file.
    pub(crate) fn cut(
        &self,
        chance: &mut Chance,
        mut luck: impl FnMut(&mut Chance) -> Luck,
    ) -> BTreeMap<Arc<str>, Vec<u8>> {
        let mut names = self.names_flushed.clone();
        let lucky = luck(chance);
        let kept = kept(lucky, self.names_pending.len(), chance);
        for (naming, _) in self.names_pending.iter().zip(kept).filter(|(_, it)| *it) {
            match naming {
                Naming::Link(name, file) => drop(names.insert(name.clone(), *file)),
                Naming::Unlink(name) => drop(names.remove(name)),
            }
        }
        let images = names.into_iter().map(|(name, file)| {
            let lucky = luck(chance);
            (name, self.files[file].image(lucky, chance))
        });
        images.collect()
    }

    fn open(&mut self, descriptor: u32, name: &Arc<str>, creates: bool) {
        if &**name == FOLDER {
            self.descriptors.insert(descriptor, None);
            return;
        }
        if creates && !self.names.contains_key(name) {
            self.files.push(File::default());
            self.names.insert(name.clone(), self.files.len() - 1);
            self.names_pending.push(Naming::Link(name.clone(), self.files.len() - 1));
        }
        if let Some(file) = self.names.get(name) {
            self.descriptors.insert(descriptor, Some(*file));
        }
    }

    fn change(&mut self, descriptor: u32, id: usize, change: Change) {
        if let Some(Some(file)) = self.descriptors.get(&descriptor) {
            self.files[*file].pending.push(Pending { id, change, done: false });
        }
    }

    fn begin_flush(&mut self, id: usize, descriptor: u32) {
        let flush = match self.descriptors.get(&descriptor) {
            Some(Some(file)) => {
                let done = self.files[*file].pending.iter().filter(|it| it.done);
                Flush::File { file: *file, ids: done.map(|it| it.id).collect() }
            }
            Some(None) => Flush::Folder { len: self.names_pending.len() },
            None => return,
        };
        self.flushes.insert(id, flush);
    }

    fn flush(&mut self, flush: Flush) {
        match flush {
            Flush::File { file, ids } => {
                let file = &mut self.files[file];
                let (covered, rest) = mem::take(&mut file.pending)
                    .into_iter()
                    .partition(|it| ids.binary_search(&it.id).is_ok());
                file.pending = rest;
                let covered: Vec<Pending> = covered;
                covered.iter().for_each(|it| it.change.apply(&mut file.flushed));
            }
            Flush::Folder { len } => {
                // Another flush of the folder may have been faster.
                let len = len.min(self.names_pending.len());
                for naming in self.names_pending.drain(..len) {
                    match naming {
                        Naming::Link(name, file) => drop(self.names_flushed.insert(name, file)),
                        Naming::Unlink(name) => drop(self.names_flushed.remove(&name)),
                    }
                }
            }
        }
    }
}

impl File {
    fn image(&self, luck: Luck, chance: &mut Chance) -> Vec<u8> {
        let mut image = self.flushed.clone();
        let kept = kept(luck, self.pending.len(), chance);
        let part_of = kept.iter().position(|it| !it);
        let missing = chance.below(self.pending.len().max(1));
        for (i, (pending, kept)) in self.pending.iter().zip(kept).enumerate() {
            let change = &pending.change;
            match luck {
                Luck::SomeSectors => change.apply_sectors(&mut image, |_| chance.one_in(2)),
                Luck::SectorMissing if i == missing => {
                    let gap = chance.below(change.sectors().max(1));
                    change.apply_sectors(&mut image, |it| it != gap);
                }
                Luck::Prefix if Some(i) == part_of => {
                    let end = chance.below(change.sectors() + 1);
                    change.apply_sectors(&mut image, |it| it < end);
                }
                Luck::Torn if Some(i) == part_of => change.apply_torn(&mut image, chance),
                Luck::Zeros => change.grow(&mut image),
                _ if kept => change.apply(&mut image),
                _ => {}
            }
        }
        image
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Truncate { len } => image.resize(*len, 0),
            Change::Write { offset, data } => put(image, *offset, data),
        }
    }

    /// Into how many sectors it reaches.
    fn sectors(&self) -> usize {
        match self {
            Change::Truncate { .. } => 1,
            Change::Write { offset, data } => {
                (offset + data.len()).div_ceil(SECTOR) - offset / SECTOR
            }
        }
    }

    fn apply_sectors(&self, image: &mut Vec<u8>, mut keep: impl FnMut(usize) -> bool) {
        let Change::Write { offset, data } = self else {
            if keep(0) {
                self.apply(image);
            }
            return;
        };
        let first = offset / SECTOR;
        for i in 0..self.sectors() {
            let begin = ((first + i) * SECTOR).max(*offset);
            let end = ((first + i + 1) * SECTOR).min(offset + data.len());
            if keep(i) {
                put(image, begin, &data[begin - offset..end - offset]);
            }
        }
    }

    fn apply_torn(&self, image: &mut Vec<u8>, chance: &mut Chance) {
        let Change::Write { offset, data } = self else { return };
        let end = chance.below(data.len() + 1);
        put(image, *offset, &data[..end]);
    }

    fn grow(&self, image: &mut Vec<u8>) {
        if let Change::Write { offset, data } = self
            && image.len() < offset + data.len()
        {
            image.resize(offset + data.len(), 0);
        }
    }
}

fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if image.len() < offset + data.len() {
        image.resize(offset + data.len(), 0);
    }
    image[offset..offset + data.len()].copy_from_slice(data);
}

/// Which of `len` changes reach the disk as a whole.
fn kept(luck: Luck, len: usize, chance: &mut Chance) -> Vec<bool> {
    let place = chance.below(len + 1);
    match luck {
        Luck::All | Luck::SectorMissing => vec![true; len],
        Luck::Nothing | Luck::Zeros => vec![false; len],
        Luck::Prefix | Luck::Torn => (0..len).map(|it| it < place).collect(),
        Luck::Suffix => (0..len).map(|it| it >= place).collect(),
        Luck::OneMissing => (0..len).map(|it| it != place).collect(),
        Luck::SomeChanges | Luck::SomeSectors => (0..len).map(|_| chance.one_in(2)).collect(),
    }
}

#[cfg(test)]
mod tests;
