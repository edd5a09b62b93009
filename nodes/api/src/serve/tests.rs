use std::{error::Error, sync::Arc};

use axum::routing::{get, post};
use guitai_crypto::{tls, web};
use guitai_host::{Clock, SystemClock};
use guitai_types::{door::DoorLimits, observed::FlowWay};
use http::StatusCode;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::*;

type Outcome = Result<(), Box<dyn Error>>;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// A door that is served until it is asked to end.
struct Served {
    address: std::net::SocketAddr,
    doorman: Doorman,
    ledger: Ledger,
    flow: FlowKey,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Served {
    async fn begin(router: Router, limits: &DoorLimits) -> Result<Self, Box<dyn Error>> {
        Self::begin_with(router, limits, None).await
    }

    async fn begin_with(
        router: Router,
        limits: &DoorLimits,
        tls: Option<TlsSource>,
    ) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let doorman = Doorman::tcp(limits, clock.clone());
        let ledger = Ledger::new(clock.clone());
        let flow = FlowKey {
            party: "customer".to_owned(),
            zone: None,
            protocol: "http".to_owned(),
            way: FlowWay::Accepted,
        };
        let (_keep, doors) = watch::channel(Vec::new());
        let origins = crate::doors::DoorList {
            node: "edge-a1".parse()?,
            doors,
        };
        let router = crate::layers::wrap(router, Router::new(), clock, Arc::new(origins));
        let (stop, stopped) = oneshot::channel();
        let entered = (ledger.clone(), flow.clone());
        let serving = serve(listener, router, doorman.clone(), entered, tls, async {
            drop(stopped.await);
        });
        Ok(Self {
            address,
            doorman,
            ledger,
            flow,
            stop,
            server: tokio::spawn(serving),
        })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address).await
    }

    /// Asks on a connection that stays open; gives the answer's first line.
    async fn ask(&self, client: &mut TcpStream, method: &str, path: &str) -> io::Result<String> {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        client.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await?);
        }
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    fn refused(&self, why: Why) -> u64 {
        let stats = self.doorman.stats();
        stats.refused.get(&why).copied().unwrap_or(0)
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) -> Outcome {
        let wait = async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(tokio::time::timeout(PATIENCE, wait).await?)
    }
}

/// Whether the other end has closed or reset the connection.
async fn is_cut(client: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(PATIENCE, client.read(&mut [0; 16])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

fn no_limits() -> DoorLimits {
    DoorLimits {
        gateways: Vec::new(),
        address_requests: 0,
        ..DoorLimits::default()
    }
}

fn pages() -> Router {
    Router::new()
        .route("/", get(async || ""))
        .route("/api/v1/tickets", post(async || ""))
        .route("/api/v1/tickets/{ticket}", get(async || ""))
        .route(
            "/api/v1/tickets/{ticket}/close",
            post(async || StatusCode::UNAUTHORIZED),
        )
}

#[tokio::test]
async fn the_end_waits_for_what_is_under_way() -> Outcome {
    let (asked, mut arrived) = tokio::sync::mpsc::channel::<()>(1);
    let (finish, wait) = watch::channel(false);
    let slow = async move || {
        let mut wait = wait.clone();
        asked.send(()).await.ok();
        drop(wait.wait_for(|go| *go).await);
        "done"
    };
    let router = Router::new().route("/", get(slow));
    let served = Served::begin(router, &no_limits()).await?;
    let mut client = served.connect().await?;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await?;
    arrived.recv().await.ok_or("the request did not arrive")?;
    let Served {
        ledger,
        flow,
        stop,
        server,
        ..
    } = served;
    drop(stop);
    finish.send(true)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    server.await??;
    let (seen, _) = ledger.seen();
    let tally = seen.get(&flow).ok_or("the connection is not accounted")?;
    let sent = u64::try_from(answer.len())?;
    let came = u64::try_from("GET / HTTP/1.1\r\nhost: x\r\n\r\n".len())?;
    assert_eq!(
        (tally.connections, tally.sent, tally.received),
        (1, sent, came)
    );
    Ok(())
}

#[tokio::test]
async fn past_an_addresss_share_newcomers_are_reset_and_who_shows_a_ticket_makes_room() -> Outcome {
    let limits = DoorLimits {
        address_strangers: 2,
        ..no_limits()
    };
    let served = Served::begin(pages(), &limits).await?;
    let mut first = served.connect().await?;
    let mut second = served.connect().await?;
    served.until(|it| it.doorman.stats().strangers == 2).await?;
    let mut third = served.connect().await?;
    assert!(is_cut(&mut third).await);
    assert_eq!(served.refused(Why::AddressFull), 1);
    // A ticket that was refused is none; one that was served is.
    let closed = served.ask(&mut second, "POST", "/api/v1/tickets/t/close");
    assert!(closed.await?.contains("401"));
    assert_eq!(served.doorman.stats().served, 0);
    let shown = served.ask(&mut first, "GET", "/api/v1/tickets/t").await?;
    assert!(shown.contains("200"), "{shown}");
    let stats = served.doorman.stats();
    assert_eq!((stats.strangers, stats.served), (1, 1));
    let mut third = served.connect().await?;
    assert!(served.ask(&mut third, "GET", "/").await?.contains("200"));
    drop((first, second, third));
    served.until(|it| it.doorman.stats().served == 0).await
}

#[tokio::test]
async fn who_was_served_stays_while_strangers_displace_each_other() -> Outcome {
    let limits = DoorLimits {
        connections: 16,
        strangers: 8,
        address_strangers: 0,
        address_arrivals: 0,
        ..no_limits()
    };
    let served = Served::begin(pages(), &limits).await?;
    let mut bearer = served.connect().await?;
    served.ask(&mut bearer, "GET", "/api/v1/tickets/t").await?;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(served.connect().await?);
    }
    served.until(|it| it.refused(Why::Displaced) == 32).await?;
    assert!(is_cut(&mut flood[0]).await);
    let again = served.ask(&mut bearer, "GET", "/api/v1/tickets/t").await?;
    assert!(again.contains("200"), "{again}");
    Ok(())
}

#[tokio::test]
async fn too_many_requests_and_tickets_are_refused_and_counted() -> Outcome {
    let limits = DoorLimits {
        address_requests: 5,
        address_tickets: 2,
        ..no_limits()
    };
    let served = Served::begin(pages(), &limits).await?;
    let mut lines = Vec::new();
    for _ in 0..3 {
        let mut client = served.connect().await?;
        lines.push(served.ask(&mut client, "POST", "/api/v1/tickets").await?);
    }
    assert!(
        lines[1].contains("200") && lines[2].contains("429"),
        "{lines:?}"
    );
    assert_eq!(served.refused(Why::TicketRate), 1);
    let mut client = served.connect().await?;
    let mut lines = Vec::new();
    while let Ok(line) = served.ask(&mut client, "GET", "/").await {
        lines.push(line);
    }
    let last = lines.last().ok_or("no answer")?;
    assert!(
        last.contains("429"),
        "the last before it is closed: {lines:?}"
    );
    assert_eq!(served.refused(Why::RequestRate), 1);
    Ok(())
}

#[tokio::test]
async fn heads_that_are_too_long_are_counted() -> Outcome {
    let served = Served::begin(pages(), &no_limits()).await?;
    let mut client = served.connect().await?;
    let head = format!("GET /{} HTTP/1.1\r\nhost: x\r\n", "x".repeat(64 * 1024));
    drop(client.write_all(head.as_bytes()).await);
    served.until(|it| it.refused(Why::BadHead) == 1).await
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_is_given_up() -> Outcome {
    let (mut reader, stream) = tokio::io::duplex(64);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let doorman = Doorman::tcp(&no_limits(), clock);
    let guest = doorman.arrive("127.0.0.1".parse()?, true);
    let guest = guest.map_err(|why| why.as_str())?;
    let mut patient = Patient::new(stream, Visit::of(guest));
    let all = patient.write_all(&[0; 128]);
    let slow = async {
        tokio::time::sleep(Duration::from_millis(WRITE_MS_MAX - 1)).await;
        reader.read_exact(&mut [0; 64]).await
    };
    let (written, read) = tokio::join!(all, slow);
    written?;
    read?;
    let none = patient.write_all(&[0; 128]).await;
    assert_eq!(
        none.map_err(|error| error.kind()),
        Err(io::ErrorKind::TimedOut)
    );
    assert_eq!(doorman.stats().refused.get(&Why::SlowReader), Some(&1));
    drop(patient);
    assert_eq!(doorman.stats().strangers, 0);
    Ok(())
}

/// A certificate as files have it: the chain and the key in PEM.
fn certificate() -> Result<(String, tls::WebDoor), Box<dyn Error>> {
    let now = SystemClock::new().wall().0 / 1000;
    let made = web::make(&["127.0.0.1".to_owned()], now)?;
    let (chain, key) = made.to_pem();
    let door = tls::web_door(chain.as_bytes(), key.as_bytes(), "127.0.0.1", false)?;
    Ok((chain, door))
}

/// What a client gets who trusts `chain`.
async fn ask(address: std::net::SocketAddr, chain: &str) -> Result<String, Box<dyn Error>> {
    let trusting = Arc::new(tls::web_client(chain.as_bytes(), false)?);
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let mut stream = TlsConnector::from(trusting).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_door_with_tls_answers_nothing_in_plain_and_changes_its_certificate()
-> Result<(), Box<dyn Error>> {
    let (old, first) = certificate()?;
    let (new, second) = certificate()?;
    let (sender, tls) = watch::channel(first.config);
    let router = Router::new().route("/", get(async || "done"));
    let served = Served::begin_with(router, &no_limits(), Some(tls)).await?;
    let address = served.address;

    let answer = ask(address, &old).await?;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    let mut plain = TcpStream::connect(address).await?;
    plain.write_all(REQUEST).await?;
    let mut heard = Vec::new();
    // It is told in TLS's own way, or cut off.
    drop(plain.read_to_end(&mut heard).await);
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");

    sender.send_replace(second.config);
    assert!(ask(address, &old).await.is_err(), "the old one is served");
    assert!(ask(address, &new).await?.ends_with("done"));
    drop(served.stop);
    served.server.await??;
    Ok(())
}
