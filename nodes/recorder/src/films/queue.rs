//! What a maker of films asks of the cluster. [`Meta`] answers in a node, a script in the tests.

use futures::future::BoxFuture;
use guitai_meta::Meta;
use guitai_types::{
    NodeName, UnixMillis,
    command::{Command, Reply},
    film::{Film, FilmMaker, FilmOrder},
};

use crate::cluster::ReportError;

pub(crate) trait Queue: Send + Sync {
    /// The film that `node` should work on, by the clock `now`.
    fn next(&self, node: &NodeName, now: UnixMillis) -> Option<Film>;
    /// A film, as far as this node knows.
    fn film(&self, number: u32) -> Option<Film>;
    /// Films that `node` makes or has, as far as it knows.
    fn known(&self, node: &NodeName) -> Vec<Film>;
    /// The same after everything that was acknowledged before; `None` when the cluster does not answer.
    fn asked_anew(&self, node: &NodeName) -> BoxFuture<'static, Option<Vec<Film>>>;
    /// What the cluster knows of a node's tools.
    fn maker(&self, node: &NodeName) -> Option<FilmMaker>;
    /// Says something about a film.
    fn order(&self, order: FilmOrder) -> BoxFuture<'static, Result<Reply, ReportError>>;
}

impl Queue for Meta {
    fn next(&self, node: &NodeName, now: UnixMillis) -> Option<Film> {
        self.peek(|state| state.film_for(node, now).cloned())
    }

    fn film(&self, number: u32) -> Option<Film> {
        self.peek(|state| state.film(number).cloned())
    }

    fn known(&self, node: &NodeName) -> Vec<Film> {
        self.peek(|state| state.films_on(node).cloned().collect())
    }

    fn asked_anew(&self, node: &NodeName) -> BoxFuture<'static, Option<Vec<Film>>> {
        let (meta, node) = (self.clone(), node.clone());
        Box::pin(async move {
            let films = |state: &guitai_meta::State| state.films_on(&node).cloned().collect();
            meta.read(films).await.ok()
        })
    }

    fn maker(&self, node: &NodeName) -> Option<FilmMaker> {
        self.peek(|state| state.film_makers().find(|it| it.node == *node).cloned())
    }

    fn order(&self, order: FilmOrder) -> BoxFuture<'static, Result<Reply, ReportError>> {
        let meta = self.clone();
        Box::pin(async move {
            let order = Box::new(order);
            match meta.write(Command::Film { order }).await {
                Ok(Reply::Refused { problem }) => Err(ReportError::Refused(problem.detail)),
                Ok(reply) => Ok(reply),
                Err(error) => Err(ReportError::Unanswered(error.to_string())),
            }
        })
    }
}
