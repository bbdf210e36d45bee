//! A selection that grows: films that arrive one after another.

use super::options::check_threshold;
use super::rows::{Rows, check_norms, norm_sq};
use super::select::Selector;
use super::space::{Prepared, Space, farthest};
use super::team::Team;
use super::{DedupeError, Options};
use ndarray::{ArrayView1, ArrayView2, Axis};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// What became of a row that was added to an [`Index`]. Rows are numbered as they come, from 0 on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Admission {
    /// The row is kept.
    Kept {
        /// Its number.
        row: u64,
    },
    /// A kept row covers it.
    Covered {
        /// Number of that row: of the kept rows that cover it, the one admitted last.
        by: u64,
        /// Similarity with that row.
        similarity: f64,
    },
}

/// The kept rows of a selection that goes on: adding rows in parts selects exactly what
/// [`select`](fn@super::select) does with all of them at once. Only kept rows are stored.
///
/// ```
/// use ndarray::array;
/// use picchu::dedupe::{Admission, Index, Options};
///
/// let mut index = Index::new(2, 0.9, Options::default())?;
/// let first_film = array![[1.0_f32, 0.0], [0.0, 1.0]];
/// index.add_batch(first_film.view(), None)?;
/// assert_eq!(index.add(array![3.0, 0.0].view())?, Admission::Covered { by: 0, similarity: 1.0 });
/// assert_eq!(index.query(array![1.0, 1.0].view())?, None);
/// assert_eq!(index.kept(), [0, 1]);
/// # Ok::<(), picchu::dedupe::DedupeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Index {
    options: Options,
    min_similarity: f64,
    /// The kept rows, in order of storage.
    prepared: Prepared<'static>,
    selector: Selector,
    /// Number of each stored row.
    numbers: Vec<u64>,
    /// Rows that were added so far.
    seen: u64,
    /// Rows from which the space was fitted.
    fitted: usize,
}

impl Index {
    /// An empty index for rows of `dim` values.
    ///
    /// # Errors
    ///
    /// A threshold outside (−1, 1].
    pub fn new(dim: usize, min_similarity: f64, options: Options) -> Result<Self, DedupeError> {
        check_threshold(min_similarity)?;
        let rows = Rows::empty(dim);
        let space = Space::fit(options.chosen_kernel(), &rows, None);
        let prepared = Prepared::new(space, rows, &Team::new(&options, 0)?)?;
        let selector = Selector::new(&prepared, min_similarity);
        Ok(Self { options, min_similarity, prepared, selector, numbers: Vec::new(), seen: 0, fitted: 0 })
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.prepared.rows().dim()
    }

    /// The threshold.
    pub fn min_similarity(&self) -> f64 {
        self.min_similarity
    }

    /// Number of kept rows.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no row is kept.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Rows that were added so far, kept or not.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Numbers of the kept rows, in order of admission.
    pub fn kept(&self) -> Vec<u64> {
        self.selector.kept().iter().map(|at| self.numbers[*at as usize]).collect()
    }

    /// Admits one row. [`Index::add_batch`] is faster for many.
    ///
    /// # Errors
    ///
    /// As for [`Index::add_batch`].
    pub fn add(&mut self, row: ArrayView1<'_, f32>) -> Result<Admission, DedupeError> {
        let mut admissions = self.add_batch(row.insert_axis(Axis(0)), None)?;
        admissions.pop().ok_or(DedupeError::Dimension { expected: 1, found: 0 })
    }

    /// The kept row that covers a row, the one admitted last if there are several, and the similarity with
    /// it. The row is not added.
    ///
    /// # Errors
    ///
    /// A row of the wrong length, or one that is zero or not finite.
    pub fn query(&self, row: ArrayView1<'_, f32>) -> Result<Option<(u64, f64)>, DedupeError> {
        let rows = self.check(row.insert_axis(Axis(0)))?;
        let probe = self.prepared.beside(rows, &Team::new(&self.options, 0)?)?;
        let cover = self.selector.cover_beside(&self.prepared, &probe);
        Ok(cover.map(|(at, similarity)| (self.numbers[at as usize], similarity)))
    }

    /// Admits the rows of `x` (`N × D`) in `order`, a permutation of their row numbers in `x`, or in source
    /// order. The result is by row of `x`.
    ///
    /// # Errors
    ///
    /// Rows of the wrong length, or zero or not finite (with the number of the row in `x`), an order that is not a
    /// permutation, or the cancel flag. Then no row is added.
    pub fn add_batch(
        &mut self,
        x: ArrayView2<'_, f32>,
        order: Option<&[u32]>,
    ) -> Result<Vec<Admission>, DedupeError> {
        let rows = self.check(x)?;
        if let Some(order) = order {
            super::select::check_order(order, rows.len())?;
        }
        let base = self.prepared.len();
        let total = base + rows.len();
        if total >= u32::MAX as usize {
            return Err(DedupeError::TooManyRows { rows: total });
        }
        let options = self.options.clone();
        let work = (rows.len() as u64) * (rows.dim() as u64) * (total as u64).min(256);
        let team = Team::new(&options, work)?;
        let order: Vec<u32> = match order {
            Some(order) => order.iter().map(|row| base as u32 + row).collect(),
            None => (base as u32..total as u32).collect(),
        };
        let mut admissions: Vec<Admission> =
            (0..rows.len() as u64).map(|row| Admission::Kept { row: self.seen + row }).collect();

        self.append(&rows, &team)?;
        let mut covers = Vec::new();
        let done = self.selector.admit(&self.prepared, &order, &team, |row, cover, similarity| {
            covers.push((row as usize - base, cover as usize, similarity));
        });
        if let Err(error) = done {
            self.prepared.truncate(base);
            let kept: Vec<u32> =
                self.selector.kept().iter().copied().filter(|at| (*at as usize) < base).collect();
            self.keep_again(&kept);
            return Err(error);
        }
        let number = |at: usize| match self.numbers.get(at) {
            Some(number) => *number,
            None => self.seen + (at - base) as u64,
        };
        for (row, cover, similarity) in covers {
            admissions[row] = Admission::Covered { by: number(cover), similarity };
        }
        self.drop_covered(base, &admissions);
        self.seen += rows.len() as u64;
        Ok(admissions)
    }

    fn check<'x>(&self, x: ArrayView2<'x, f32>) -> Result<Rows<'x>, DedupeError> {
        let rows = Rows::new(x)?;
        if rows.dim() != self.dim() {
            return Err(DedupeError::Dimension { expected: self.dim(), found: rows.dim() });
        }
        let kernel = self.options.chosen_kernel();
        let norms_sq: Vec<f64> = (0..rows.len()).map(|row| norm_sq(kernel, rows.row(row))).collect();
        check_norms(&norms_sq)?;
        Ok(rows)
    }

    /// Stores rows; fits the space anew whenever there are twice as many, so that it suits them.
    fn append(&mut self, rows: &Rows<'_>, team: &Team<'_>) -> Result<(), DedupeError> {
        let total = self.prepared.len() + rows.len();
        if total < 2 * self.fitted {
            self.prepared.append(rows, team)?;
            self.selector.cut_mut().extend(&self.prepared);
            return Ok(());
        }
        let mut all = self.prepared.rows().clone();
        all.append(rows);
        let sketch_for = (total >= 6000).then(|| farthest(self.min_similarity));
        let space = Space::fit(self.options.chosen_kernel(), &all, sketch_for);
        self.prepared = Prepared::new(space, all, team)?;
        self.fitted = total;
        let kept = self.selector.kept().to_vec();
        self.keep_again(&kept);
        Ok(())
    }

    fn keep_again(&mut self, kept: &[u32]) {
        self.selector = Selector::new(&self.prepared, self.min_similarity);
        for row in kept {
            self.selector.keep(&self.prepared, *row);
        }
    }

    /// Takes the rows out of the store that are not kept.
    fn drop_covered(&mut self, base: usize, admissions: &[Admission]) {
        let mut moved = vec![0_u32; admissions.len()];
        for (i, admission) in admissions.iter().enumerate() {
            if let Admission::Kept { row } = admission {
                let to = self.numbers.len();
                moved[i] = to as u32;
                self.prepared.move_down(base + i, to);
                self.selector.cut_mut().move_down(base + i, to);
                self.numbers.push(*row);
            }
        }
        self.prepared.truncate(self.numbers.len());
        self.selector.cut_mut().truncate(self.numbers.len());
        for row in self.selector.kept_mut() {
            if *row as usize >= base {
                *row = moved[*row as usize - base];
            }
        }
    }

    /// Saves the index; a file of that name is replaced once the new one is complete.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DedupeError> {
        let path = path.as_ref();
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let mut file = BufWriter::new(File::create(&partial)?);
        self.write(&mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, path)?;
        Ok(())
    }

    /// Loads an index that was saved.
    ///
    /// # Errors
    ///
    /// What the file system says, or a file that is not a saved index.
    pub fn load(path: impl AsRef<Path>, options: Options) -> Result<Self, DedupeError> {
        Self::read(&mut BufReader::new(File::open(path)?), options)
    }

    /// Writes the index: a header, the numbers and the values of the kept rows in order of admission, and a
    /// checksum, all little-endian.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write(&self, to: &mut impl Write) -> Result<(), DedupeError> {
        let mut to = Summed { inner: to, sum: SUM_START };
        to.write_all(&MAGIC)?;
        to.write_all(&self.min_similarity.to_le_bytes())?;
        for number in [self.dim() as u64, self.len() as u64, self.seen] {
            to.write_all(&number.to_le_bytes())?;
        }
        for number in self.kept() {
            to.write_all(&number.to_le_bytes())?;
        }
        for at in self.selector.kept() {
            for value in self.prepared.rows().row(*at as usize) {
                to.write_all(&value.to_le_bytes())?;
            }
        }
        let sum = to.sum;
        to.inner.write_all(&sum.to_le_bytes())?;
        Ok(())
    }

    /// Reads an index that was written.
    ///
    /// # Errors
    ///
    /// What the reader says, or bytes that are not a saved index.
    pub fn read(from: &mut impl Read, options: Options) -> Result<Self, DedupeError> {
        let corrupt = |reason: &str| DedupeError::Corrupt { reason: reason.to_owned() };
        let mut from = Summed { inner: from, sum: SUM_START };
        if from.array::<16>()? != MAGIC {
            return Err(corrupt("it does not begin as one, or is of another version"));
        }
        let min_similarity = f64::from_le_bytes(from.array()?);
        let [dim, len, seen] = [from.number()?, from.number()?, from.number()?];
        let (Ok(dim), Ok(len)) = (u32::try_from(dim), u32::try_from(len)) else {
            return Err(corrupt("its size is out of range"));
        };
        let mut index = Self::new(dim as usize, min_similarity, options)?;
        let mut numbers = Vec::new();
        for _ in 0..len {
            numbers.push(from.number()?);
        }
        // Values are read row by row, so that a wrong length fails before it takes memory.
        let mut values = Vec::new();
        for _ in 0..u64::from(len) * u64::from(dim) {
            values.push(f32::from_le_bytes(from.array()?));
        }
        let sum = from.sum;
        if from.number()? != sum {
            return Err(corrupt("its checksum is wrong"));
        }
        let rows = ArrayView2::from_shape((len as usize, dim as usize), &values)
            .map_err(|error| corrupt(&error.to_string()))?;
        let rows = index.check(rows)?;
        let options = index.options.clone();
        let work = u64::from(len) * u64::from(dim) * 64;
        index.append(&rows, &Team::new(&options, work)?)?;
        let kept: Vec<u32> = (0..len).collect();
        index.keep_again(&kept);
        (index.numbers, index.seen) = (numbers, seen);
        Ok(index)
    }
}

/// What a saved index begins with; the last byte is the version.
const MAGIC: [u8; 16] = *b"picchu-index\0\0\0\x01";

/// FNV-1a, to notice files that were cut or damaged.
const SUM_START: u64 = 0xcbf2_9ce4_8422_2325;

struct Summed<T> {
    inner: T,
    sum: u64,
}

impl<T> Summed<T> {
    fn sum(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.sum = (self.sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl<T: Write> Summed<T> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum(bytes);
        self.inner.write_all(bytes)
    }
}

impl<T: Read> Summed<T> {
    fn array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.sum(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> std::io::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}
