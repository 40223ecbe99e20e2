//! One direction of a connection.

use std::{collections::VecDeque, future, io, sync::atomic::Ordering::Relaxed};

use tokio::{
    io::AsyncWriteExt,
    net::tcp::{ReadHalf, WriteHalf},
    select, task,
    time::{Instant, sleep_until},
};

use crate::{
    Direction,
    course::{After, Course, Segment},
    link::{Ending, Orders, View},
};

/// What is read at once, in bytes.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Reads from one side, and delivers to the other what and when its course says.
#[derive(Debug)]
pub(crate) struct Pump<'a> {
    direction: Direction,
    view: View<'a>,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    course: Course,
    flight: VecDeque<Segment>,
    /// How much was read and is not wholly delivered.
    flight_bytes: usize,
    /// How much of the first segment was delivered.
    delivered_bytes: usize,
    /// When the line can carry more.
    free_at: Instant,
    /// Whether more may come.
    reads: bool,
    /// Whether it is known that the course withholds something.
    noticed: bool,
}

/// What to wait for on the side that is read.
enum Want {
    Nothing,
    /// That it has sent something, which is left where it is.
    Notice,
    Bytes,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        direction: Direction,
        view: View<'a>,
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
    ) -> Pump<'a> {
        Pump {
            course: Course::new(view.link, direction, Orders::default()),
            direction,
            view,
            from,
            to,
            flight: VecDeque::new(),
            flight_bytes: 0,
            delivered_bytes: 0,
            free_at: Instant::now(),
            reads: true,
            noticed: false,
        }
    }

    /// Returns when the stream has ended and all of it was delivered, or when the connection has to end.
    pub(crate) async fn run(mut self) -> Result<(), Ending> {
        let mut buffer = [0; READ_BYTES_MAX];
        loop {
            self.obey()?;
            let (due, want) = (self.due(), self.want());
            let has_bytes = self.flight.front().is_some_and(|it| !it.bytes.is_empty());
            select! {
                biased;
                () = self.view.changed() => {}
                () = deliverable(&self.to, due, has_bytes) => {
                    if self.deliver().await? {
                        return Ok(());
                    }
                }
                () = arrival(&mut self.from, &want) => match want {
                    Want::Nothing => {}
                    Want::Notice => self.notice(),
                    Want::Bytes => self.read(&mut buffer)?,
                }
            }
        }
    }

    fn obey(&mut self) -> Result<(), Ending> {
        let Some(orders) = self.view.news()? else { return Ok(()) };
        self.course = Course::new(self.view.link, self.direction, orders);
        self.noticed = false;
        // Nothing that an earlier fault has held up waits any longer.
        let now = Instant::now();
        self.free_at = now;
        self.flight.iter_mut().for_each(|it| it.due = now);
        if self.course.withholds() && !self.flight.is_empty() {
            self.notice();
        }
        Ok(())
    }

    fn notice(&mut self) {
        self.noticed = true;
        self.course.hit(self.view.link);
    }

    fn due(&self) -> Option<Instant> {
        let first = self.flight.front().filter(|_| !self.course.withholds())?;
        Some(first.due.max(self.free_at))
    }

    fn want(&self) -> Want {
        match self.course.withholds() {
            _ if !self.reads => Want::Nothing,
            true if self.noticed => Want::Nothing,
            true => Want::Notice,
            false if self.flight_bytes < self.course.flight_bytes_max() => Want::Bytes,
            false => Want::Nothing,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Ending> {
        let read = match self.from.try_read(buffer) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(Ending::Reset),
        };
        // A fault that was set before these bytes were sent applies to them.
        self.obey()?;
        let segment = self.course.take(self.view.link, &buffer[..read])?;
        self.reads = match segment.after {
            After::GoOn | After::Doom { .. } => true,
            After::End | After::Close => false,
        };
        self.flight_bytes += segment.bytes.len();
        self.flight.push_back(segment);
        Ok(())
    }

    /// Delivers what the line carries of the first segment. True at the end of the stream.
    async fn deliver(&mut self) -> Result<bool, Ending> {
        let Some(first) = self.flight.front() else { return Ok(false) };
        let rest = &first.bytes[self.delivered_bytes..];
        if !rest.is_empty() {
            let burst = &rest[..rest.len().min(self.course.burst_bytes_max())];
            let written = match self.to.try_write(burst) {
                Ok(written) => written,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(Ending::Reset),
            };
            if self.direction == Direction::ToServer {
                self.view.link.awaits_reply.store(true, Relaxed);
            }
            self.delivered_bytes += written;
            self.free_at = Instant::now() + self.course.occupation(written);
            if written < rest.len() {
                // Lets a reader see the pieces one by one.
                task::yield_now().await;
                return Ok(false);
            }
        }
        let after = first.after;
        self.flight_bytes -= first.bytes.len();
        self.flight.pop_front();
        self.delivered_bytes = 0;
        match after {
            After::GoOn => Ok(false),
            After::Doom { epoch } => {
                self.view.link.doomed_in.store(epoch, Relaxed);
                Ok(false)
            }
            After::End => self.to.shutdown().await.map(|()| true).map_err(|_| Ending::Reset),
            After::Close => Err(Ending::Close),
        }
    }
}

async fn deliverable(to: &WriteHalf<'_>, due: Option<Instant>, has_bytes: bool) {
    let Some(due) = due else { return future::pending().await };
    // The timer has steps of 1 ms, which nothing is to wait for without a fault.
    if due > Instant::now() {
        sleep_until(due).await;
    }
    if has_bytes {
        // Writing will say what is wrong.
        let _ = to.writable().await;
    }
}

async fn arrival(from: &mut ReadHalf<'_>, want: &Want) {
    // Reading will say what is wrong.
    match want {
        Want::Nothing => future::pending().await,
        Want::Notice => drop(from.peek(&mut [0]).await),
        Want::Bytes => drop(from.readable().await),
    }
}
