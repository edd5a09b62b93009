//! A process of the simulation: its tasks run, stand still or are gone, all at once.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use guitai_host::{Entropy as _, SeededEntropy};

/// The life of one process; clones are the same life. Tasks started within it belong to it.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    chance: SeededEntropy,
    fate: Mutex<Fate>,
}

#[derive(Default)]
struct Fate {
    paused: bool,
    over: bool,
    /// Whoever wants to know when that changes, in the order of asking.
    waiting: Vec<Waker>,
}

thread_local! {
    static PRESENT: RefCell<Option<Life>> = const { RefCell::new(None) };
}

impl Life {
    /// A life that runs; its chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            chance: SeededEntropy::new(seed),
            fate: Mutex::default(),
        }))
    }

    /// Lets a future live this life.
    pub fn of<T>(&self, future: impl Future<Output = T> + Send + 'static) -> Lived<T> {
        Lived {
            life: Some(self.clone()),
            future: Box::pin(future),
        }
    }

    /// Lets a future live the life of the task that calls this, if that has one.
    pub(crate) fn of_present<T>(future: impl Future<Output = T> + Send + 'static) -> Lived<T> {
        Lived {
            life: Self::present(),
            future: Box::pin(future),
        }
    }

    /// The life of the task that calls this.
    pub(crate) fn present() -> Option<Self> {
        PRESENT.with_borrow(Clone::clone)
    }

    /// A number by this life's chance.
    pub(crate) fn chance(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.chance.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Stops the process, as SIGSTOP does.
    pub fn pause(&self) {
        self.fate().paused = true;
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.change(|fate| fate.paused = false);
    }

    /// Ends it, as SIGKILL does: none of its tasks ever runs again.
    pub fn end(&self) {
        self.change(|fate| fate.over = true);
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.fate().over
    }

    /// Returns when it has ended.
    pub async fn over(&self) {
        std::future::poll_fn(|context| {
            let mut fate = self.fate();
            if fate.over {
                return Poll::Ready(());
            }
            fate.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn change(&self, change: impl FnOnce(&mut Fate)) {
        let mut fate = self.fate();
        change(&mut fate);
        let waiting = std::mem::take(&mut fate.waiting);
        drop(fate);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.0.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }
}

/// A future that runs only while its life does.
pub struct Lived<T> {
    life: Option<Life>,
    future: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Future for Lived<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let Some(life) = &this.life else {
            return this.future.as_mut().poll(context);
        };
        {
            let mut fate = life.fate();
            if fate.over {
                return Poll::Pending;
            }
            if fate.paused {
                fate.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        let before = PRESENT.replace(Some(life.clone()));
        let _restore = Restore(before);
        this.future.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for Lived<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lived").finish_non_exhaustive()
    }
}

/// Puts the life before back, also when the future panics.
struct Restore(Option<Life>);

impl Drop for Restore {
    fn drop(&mut self) {
        PRESENT.set(self.0.take());
    }
}
