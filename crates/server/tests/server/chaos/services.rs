//! What the nodes stand on: the servers that all tests use, or some of its own, which may be restarted.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use motet_testing::Schema;
use tokio::time::Instant;

/// How long a service may take to start.
const STARTING: Duration = Duration::from_secs(60);

pub(super) struct Services {
    /// The `host:port` of Redis or NATS.
    pub(super) bus: String,
    is_nats: bool,
    own: Option<[Service; 2]>,
    /// The database, if it is its own.
    postgres: Option<String>,
}

/// A process of its own at a port.
struct Service {
    command: Box<dyn FnMut() -> Command + Send>,
    ready: Ready,
    child: Child,
}

/// Whether a service takes connections.
type Ready = Box<dyn Fn() -> bool + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Postgres,
    Bus,
}

impl Services {
    /// Those of all tests.
    pub(super) fn shared(is_nats: bool) -> Self {
        let (variable, usual) = if is_nats {
            ("MOTET_TEST_NATS", "127.0.0.1:4222")
        } else {
            ("MOTET_TEST_REDIS", "127.0.0.1:6379")
        };
        let bus = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        Self {
            bus: bus.rsplit('/').next().unwrap_or_default().to_owned(),
            is_nats,
            own: None,
            postgres: None,
        }
    }

    /// Servers of their own, in a folder.
    pub(super) fn private(is_nats: bool, folder: &Path) -> Self {
        let (postgres, bus) = (free_port(), free_port());
        let database = start_postgres(postgres, folder);
        let command = move || {
            let port = bus.to_string();
            if is_nats {
                let mut command = Command::new(find("nats-server"));
                command.args(["-a", "127.0.0.1", "-p", &port]);
                command
            } else {
                let mut command = Command::new(find("redis-server"));
                command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port]);
                command
            }
        };
        let ready = move || TcpStream::connect(("127.0.0.1", bus)).is_ok();
        Self {
            bus: format!("127.0.0.1:{bus}"),
            is_nats,
            own: Some([database, Service::start(Box::new(command), Box::new(ready))]),
            postgres: Some(format!("postgres://postgres@127.0.0.1:{postgres}/postgres")),
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_nats { "nats" } else { "redis" }
    }

    pub(super) async fn schema(&self) -> Schema {
        match &self.postgres {
            Some(server) => Schema::on(server.clone()).await,
            None => Schema::new().await,
        }
    }

    /// Ends one of its own: in an orderly way or not.
    pub(super) fn stop(&mut self, which: Which, orderly: bool) {
        if let Some(own) = &mut self.own {
            own[which as usize].stop(if orderly { "-INT" } else { "-QUIT" });
        }
    }

    pub(super) fn start(&mut self, which: Which) {
        if let Some(own) = &mut self.own {
            own[which as usize].restart();
        }
    }
}

impl Service {
    fn start(mut command: Box<dyn FnMut() -> Command + Send>, ready: Ready) -> Self {
        let child = spawn(command(), &ready);
        Self {
            command,
            ready,
            child,
        }
    }

    fn stop(&mut self, signal: &str) {
        let id = self.child.id().to_string();
        let _sent = Command::new("kill").args([signal, &id]).status();
        let _ended = self.child.wait();
    }

    fn restart(&mut self) {
        self.child = spawn((self.command)(), &self.ready);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Of PostgreSQL that ends its children as well; others have none.
        self.stop("-QUIT");
    }
}

fn spawn(mut command: Command, ready: &Ready) -> Child {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < STARTING, "{command:?} does not start");
        assert!(child.try_wait().unwrap().is_none(), "{command:?} has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// A cluster of its own. PostgreSQL does not run as root.
fn start_postgres(port: u16, folder: &Path) -> Service {
    let place = folder.join("postgres");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
    let data = place.join("data");
    let ids = is_root().then(|| (id_of("-u"), id_of("-g")));
    let humbly = move |program: PathBuf| {
        let mut command = Command::new(program);
        command.current_dir("/");
        if let Some((user, group)) = ids {
            command.uid(user).gid(group);
        }
        command
    };
    let made = humbly(find("initdb"))
        .args(["-U", "postgres", "-A", "trust", "--no-sync", "-D"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let command = move || {
        let mut command = humbly(find("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            command.args(["-c", setting]);
        }
        command
    };
    let asks = find("pg_isready");
    let ready = move || {
        let port = port.to_string();
        let mut asked = Command::new(&asks);
        asked.args(["-q", "-h", "127.0.0.1", "-p", &port]);
        asked.status().is_ok_and(|status| status.success())
    };
    Service::start(Box::new(command), Box::new(ready))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// Of the user `postgres`.
fn id_of(flag: &str) -> u32 {
    let id = Command::new("id")
        .args([flag, "postgres"])
        .output()
        .unwrap();
    let id = String::from_utf8(id.stdout).unwrap();
    id.trim().parse().expect("there is a user `postgres`")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program, also where the system keeps servers.
fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    for version in (12..20).rev() {
        folders.push(format!("/usr/lib/postgresql/{version}/bin").into());
    }
    let found = folders.iter().map(|folder| folder.join(program));
    let found = found.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is needed"))
}
