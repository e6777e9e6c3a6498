//! Which files and ports a server can reach once it runs: those that its settings name, and what the machine's libraries
//! read. Whoever gives the settings a new path adds its key here.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use sterna_sandbox::Files;

use super::super::{Share, helpers::programs_of};
use crate::{
    output::display_name,
    settings::{Effective, Settings},
};

/// What the C library and the clock read, where it is there.
const SYSTEM: &[&str] = &[
    "/dev/random",
    "/dev/urandom",
    "/etc/group",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/timezone",
    "/usr/share/zoneinfo",
];

/// What looking up names of hosts reads: settings, caches, and libraries of which nobody knows before which.
const NAMES: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/lib",
    "/lib64",
    "/run/NetworkManager",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/usr/lib",
    "/usr/lib64",
    "/var/lib/sss",
];

/// What the figures tell about the process itself.
const FIGURES: &[&str] = &["/proc/self/fd", "/proc/self/status"];

/// The key of the audit log, which gets new files beside itself. A new one needs a restart in any case.
const AUDIT_FILE: &str = "file";

/// Authorities of services that are asked by HTTPS.
const AUTHORITIES: &[&str] = &[
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
];

/// Directories in which a file is reached alone. In any other the whole directory is, because files are replaced there
/// by new ones of the same name.
const COMMON: &[&str] =
    &["/", "/etc", "/home", "/root", "/run", "/srv", "/tmp", "/usr", "/var", "/var/lib"];

/// Ports of name servers and of HTTP.
const PORT_DNS: u16 = 53;
const PORT_HTTP: u16 = 80;
const PORT_HTTPS: u16 = 443;

/// What stays in reach.
#[derive(Debug, Default)]
pub struct Reach {
    /// `None`: there is no wall.
    files: Option<Files>,
    /// Programs that the helper starts.
    programs: Vec<PathBuf>,
    roots: usize,
    looks_up_names: bool,
}

impl Reach {
    /// Of a server without walls.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Of a server with these settings: the one place that knows.
    pub fn of(
        settings: &Settings,
        state_dir: Option<&Path>,
        reloads: Option<&(PathBuf, Effective)>,
        share: Option<&Share>,
    ) -> Self {
        let mut files = Files::default();
        files.read.extend(SYSTEM.iter().map(PathBuf::from));
        files.write.push("/dev/null".into());
        files.sockets.extend(state_dir.map(Path::to_owned));
        files.write.extend(settings.confinement.roots.iter().cloned());
        if settings.metrics.is_some() {
            files.read.extend(FIGURES.iter().map(PathBuf::from));
        }
        let mut roots = settings.confinement.roots.len();
        if let Some(share) = share {
            roots += 1;
            let list = if share.read_only { &mut files.read } else { &mut files.write };
            list.push(share.root.clone());
        }
        let (mut looks_up_names, mut programs) = (false, Vec::new());
        if let Some((file, effective)) = reloads {
            files.read.push(around(file));
            files.write.extend(changes_itself(file, effective));
            let mut named = effective.paths();
            named.sort_unstable();
            named.dedup();
            for (key, path) in named {
                match key {
                    "root" => {
                        roots += 1;
                        files.write.push(path);
                    }
                    "state_dir" | "sandbox_roots" => {}
                    AUDIT_FILE => files.write.push(directory_of(&path)),
                    _ => files.read.push(around(&path)),
                }
            }
            programs = programs_of(effective);
            let ports = ports_of(effective);
            looks_up_names = !ports.is_empty() || effective.table().contains_key("host_based");
            if !ports.is_empty() {
                files.read.extend(AUTHORITIES.iter().map(PathBuf::from));
                files.read.extend(std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
                files.read.extend(std::env::var_os("SSL_CERT_DIR").map(PathBuf::from));
            }
            files.connect = ports;
        }
        if looks_up_names {
            files.read.extend(NAMES.iter().map(PathBuf::from));
            files.connect.push(PORT_DNS);
        }
        Self { files: Some(files), programs, roots, looks_up_names }
    }

    /// The same without a wall around files.
    pub fn without_wall(self) -> Self {
        Self { files: None, ..self }
    }

    /// What is inside of the wall, if there is one.
    pub fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// How many directories of users there are.
    pub fn roots(&self) -> usize {
        self.roots
    }

    /// Whether other machines are asked about anything.
    pub fn looks_up_names(&self) -> bool {
        self.looks_up_names
    }

    /// What new settings name and this server cannot reach, a sentence each.
    pub fn lacks(&self, file: &Path, effective: &Effective) -> Vec<String> {
        let Some(files) = &self.files else { return Vec::new() };
        let readable = || files.read.iter().chain(&files.write).chain(&files.sockets);
        let mut lacking = Vec::new();
        let mut say = |path: &Path, what: &str| {
            let shown = display_name(path.as_os_str().as_encoded_bytes());
            lacking.push(format!("{shown}: {what} is outside of the sandbox and needs a restart"));
        };
        for (key, path) in effective.paths() {
            match key {
                "root" if !holds(files.write.iter(), &path) => {
                    say(&path, "this user's root");
                }
                "root" | "state_dir" | "sandbox_roots" | AUDIT_FILE => {}
                key if !holds(readable(), &path) => say(&path, key),
                _ => {}
            }
        }
        for dir in changes_itself(file, effective) {
            if !holds(files.write.iter(), &dir) {
                say(&dir, "what users with must_change_password would change");
            }
        }
        for port in ports_of(effective) {
            if !files.connect.contains(&port) {
                lacking.push(format!("port {port} of a url needs a restart"));
            }
        }
        for program in programs_of(effective) {
            if !self.programs.contains(&program) {
                let shown = display_name(program.as_os_str().as_encoded_bytes());
                lacking.push(format!("{shown}: starting this program needs a restart"));
            }
        }
        if effective.table().contains_key("host_based") && !self.looks_up_names {
            lacking.push("host_based: looking up names needs a restart".to_owned());
        }
        lacking.sort();
        lacking.dedup();
        lacking
    }
}

/// Whether `path` lies beneath one of `these`, links followed.
fn holds<'p>(mut these: impl Iterator<Item = &'p PathBuf>, path: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = real(path);
    these.any(|one| path.starts_with(real(one)))
}

/// The directory of a file, or the file where others have theirs beside it.
fn around(file: &Path) -> PathBuf {
    // A link leads to the file that is read; the directory of the link is where it would be replaced.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    match file.parent() {
        Some(dir) if !COMMON.iter().any(|common| dir.as_os_str() == OsStr::new(common)) => {
            dir.to_owned()
        }
        _ => file,
    }
}

/// The directory that a file is in, whatever else is there.
fn directory_of(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    file.parent().map_or_else(|| file.clone(), Path::to_owned)
}

/// Where users that change their passwords at login have theirs: files are made anew beside the old ones.
fn changes_itself(file: &Path, effective: &Effective) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = effective.users_dir().map(Path::to_owned).into_iter().collect();
    let users = effective.table().get("user").and_then(toml::Value::as_array);
    let must = |user: &toml::Value| user.get("must_change_password").and_then(toml::Value::as_bool);
    if users.into_iter().flatten().any(|user| must(user) == Some(true)) {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        // With a directory for users it may still be the file itself that has this one.
        dirs.extend(file.parent().map(Path::to_owned));
    }
    dirs
}

/// Where services are asked, by their URLs.
fn ports_of(effective: &Effective) -> Vec<u16> {
    let urls = ["external_identity", "keyboard_interactive"]
        .into_iter()
        .filter_map(|table| effective.table().get(table)?.get("url")?.as_str());
    let mut ports: Vec<u16> = urls.map(port_of).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn port_of(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    // Colons within brackets belong to the address.
    let behind = host.rsplit(']').next().unwrap_or_default();
    let written = behind.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    written.unwrap_or(if scheme == "http" { PORT_HTTP } else { PORT_HTTPS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_urls() {
        for (url, port) in [
            ("https://auth.example/x", 443),
            ("http://auth.example", 80),
            ("https://auth.example:8443/a:1", 8443),
            ("http://[2001:db8::1]/", 80),
            ("http://[2001:db8::1]:81?x=:3", 81),
            ("https://user:1@auth.example", 443),
        ] {
            assert_eq!(port_of(url), port, "{url}");
        }
    }

    #[test]
    fn a_directory_of_ones_own_is_reached_whole_and_a_common_one_is_not() {
        assert_eq!(around(Path::new("/etc/sterna/sterna.toml")), Path::new("/etc/sterna"));
        assert_eq!(around(Path::new("/etc/sterna.toml")), Path::new("/etc/sterna.toml"));
        assert_eq!(around(Path::new("/keys")), Path::new("/keys"));
    }

    #[test]
    fn what_new_settings_name_elsewhere_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let [file, inside, elsewhere] =
            ["sterna.toml", "inside", "elsewhere"].map(|n| dir.path().join(n));
        for root in [&inside, &elsewhere] {
            fs::create_dir(root).unwrap();
        }
        let hash = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";
        let read = |roots: &[&str], more: &str| {
            let users = roots.iter().enumerate().map(|(n, root)| {
                format!("[[user]]\nname = 'u{n}'\nroot = '{root}'\npassword = '{hash}'\n{more}")
            });
            fs::write(&file, format!("sandbox_roots = ['inside']\n{}", users.collect::<String>()))
                .unwrap();
            let settings = crate::settings::load(&file).unwrap();
            let effective = Effective::of(&file, &settings, false).unwrap();
            (settings, effective)
        };
        let (settings, effective) = read(&["inside"], "");
        let reach = Reach::of(&settings, None, Some(&(file.clone(), effective.clone())), None);

        assert!(reach.lacks(&file, &effective).is_empty());
        fs::create_dir(inside.join("deeper")).unwrap();
        let (_, below) = read(&["inside/deeper"], "");
        assert!(reach.lacks(&file, &below).is_empty());
        let (_, outside) = read(&["inside", "elsewhere"], "");
        let lacking = reach.lacks(&file, &outside);
        assert_eq!(lacking.len(), 1, "{lacking:?}");
        assert!(lacking[0].contains("elsewhere: this user's root"), "{lacking:?}");
        let (_, changing) = read(&["inside"], "must_change_password = true\n");
        assert!(reach.lacks(&file, &changing)[0].contains("must_change_password"));
        // Without walls everything is in reach.
        assert!(Reach::everything().lacks(&file, &outside).is_empty());
    }
}
