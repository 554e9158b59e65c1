//! A socket and bodies that record their activity.

use super::activity::Activity;
use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// The socket of one connection.
pub(super) struct Watched {
    socket: TcpStream,
    activity: Arc<Activity>,
    received: bool,
}

impl Watched {
    pub(super) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self { socket, activity, received: false }
    }

    fn told(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.activity.wrote(written.is_ready());
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let bytes = &buffer.filled()[before..];
        if !bytes.is_empty() {
            self.activity.received(bytes, !self.received);
            self.received = true;
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.told(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A request that runs: from its head to the end of its answer, or until the caller is gone.
pub(super) struct Running(Arc<Activity>);

impl Running {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        activity.request_begins();
        Self(activity)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// An answer's body, on its way out.
pub(super) struct Answer {
    body: Body,
    /// A part was handed over, and the next one not asked for.
    handed: bool,
    running: Running,
}

impl Answer {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self { body, handed: false, running }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if std::mem::take(&mut self.handed) {
            self.running.0.answer_wanted();
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Ok(_)))) {
            self.handed = true;
            self.running.0.answer_handed();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.handed {
            self.running.0.answer_wanted();
        }
    }
}

/// The minimum rate of a body after [`RATE_AFTER`]. A body below it would take forever.
const LEAST_BYTES_PER_SECOND: u64 = 512;
/// When the minimum rate begins to apply.
const RATE_AFTER: Duration = Duration::from_secs(30);

/// A request's body, which fails with [`io::ErrorKind::TimedOut`] where nothing more comes, or too
/// little.
pub(super) struct Paced<B> {
    body: B,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// The timer runs.
    waiting: bool,
    began: Option<std::time::Instant>,
    received: u64,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, patience: Duration) -> Self {
        Self {
            body,
            patience,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            waiting: false,
            began: None,
            received: 0,
        }
    }

    fn trickles(&self) -> bool {
        let Some(elapsed) = self.began.map(|began| began.elapsed()) else { return false };
        elapsed > RATE_AFTER
            && self.received < (elapsed - RATE_AFTER).as_secs() * LEAST_BYTES_PER_SECOND
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Paced<B>
where
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        this.began.get_or_insert_with(std::time::Instant::now);
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.waiting = false;
                if let Some(Ok(frame)) = &frame {
                    this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                    if this.trickles() {
                        return Poll::Ready(Some(Err(too_slow(this.patience))));
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                if !this.waiting {
                    this.waiting = true;
                    this.timer.as_mut().reset(tokio::time::Instant::now() + this.patience);
                }
                std::task::ready!(this.timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(too_slow(this.patience))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

fn too_slow(patience: Duration) -> axum::BoxError {
    let detail = format!(
        "the request's body did not go on for {} s, or came slower than {LEAST_BYTES_PER_SECOND} bytes a second: send it again, faster",
        patience.as_secs_f32()
    );
    io::Error::new(io::ErrorKind::TimedOut, detail).into()
}
