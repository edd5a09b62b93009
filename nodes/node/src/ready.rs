//! Is the deployment really ready? Asked the way a customer and an agent would: the catalogue through
//! every edge proves door, guard, tunnel, core and raft; every inner door proves itself.

use std::time::Duration;

use guitai_types::control::Catalogue;
use url::Url;

/// Between two questions to one node.
const PAUSE: Duration = Duration::from_millis(150);
/// One answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Waits until every door answers, telling `progress` how many do.
pub(crate) async fn wait(
    http: reqwest::ClientBuilder,
    edges: &[Url],
    cores: &[Url],
    mut progress: impl FnMut(usize, usize),
) {
    let http = http.timeout(ANSWER_MAX).build();
    let Ok(http) = http else { return };
    let total = edges.len() + cores.len();
    let mut ready = 0;
    progress(ready, total);
    for core in cores {
        until(|| answers(&http, core, "/healthz")).await;
        ready += 1;
        progress(ready, total);
    }
    for edge in edges {
        until(|| serves(&http, edge)).await;
        ready += 1;
        progress(ready, total);
    }
}

async fn until<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    while !ask().await {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn answers(http: &reqwest::Client, door: &Url, path: &str) -> bool {
    let Ok(url) = door.join(path) else {
        return false;
    };
    matches!(http.get(url).send().await, Ok(answer) if answer.status().is_success())
}

async fn serves(http: &reqwest::Client, edge: &Url) -> bool {
    let Ok(url) = edge.join("/api/v1/catalogue") else {
        return false;
    };
    let Ok(answer) = http.get(url).send().await else {
        return false;
    };
    answer
        .json::<Catalogue>()
        .await
        .is_ok_and(|catalogue| !catalogue.institutions.is_empty())
}
