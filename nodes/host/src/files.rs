//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the machine lets it (`RLIMIT_NOFILE`) and gives it; none is no limit. What a service
/// manager sets as the hard limit holds.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(_refused) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_once_and_stays() {
        let raised = raise_open_files();
        assert_eq!(raised, getrlimit(Resource::Nofile).current);
        assert_eq!(raised, raise_open_files());
    }
}
