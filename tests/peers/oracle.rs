//! OpenSSL 4 behind `oracle.c`: a program that tests and benches start and ask.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What can be asked, numbered as in `oracle.c`.
#[derive(Clone, Copy)]
#[expect(dead_code, reason = "tests and benches each use a part")]
pub(crate) enum Operation {
    Sm3 = 1,
    HmacSm3,
    Sm4Ecb,
    Sm4Ctr,
    Sm4GcmSeal,
    Sm4GcmOpen,
    Sm2Sign,
    Sm2Verify,
    Sm2Encrypt,
    Sm2Decrypt,
    Bench,
    Sm2Agree,
}

/// A running oracle; it ends when it is dropped.
pub(crate) struct OpenSsl {
    child: Child,
    requests: Option<ChildStdin>,
    answers: ChildStdout,
}

impl OpenSsl {
    /// Compiles and starts the oracle with the OpenSSL tree that `GUITAI_OPENSSL` names (`tests/peers/openssl`
    /// builds it and prints its path). `None` without the variable; with it, everything must work.
    pub(crate) fn start() -> Option<Self> {
        let tree = std::env::var_os("GUITAI_OPENSSL")?;
        let tree = Path::new(&tree);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers/oracle.c");
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("oracle");
        let compiled = Command::new("cc")
            .arg("-O2")
            .arg("-I")
            .arg(tree.join("include"))
            .arg("-o")
            .arg(&program)
            .arg(source)
            .arg(tree.join("libcrypto.a"))
            .args(["-lpthread", "-ldl"])
            .status();
        assert!(
            compiled.unwrap().success(),
            "oracle.c compiles against {}",
            tree.display()
        );
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (requests, answers) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut started = Self {
            child,
            requests,
            answers,
        };
        // It has answered, so the file may go.
        assert!(started.ask(Operation::Sm3, &[b""]).is_some());
        Some(started)
    }

    /// What OpenSSL answers; `None` when it refuses.
    pub(crate) fn ask(&mut self, operation: Operation, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let mut request = vec![operation as u8];
        for part in parts {
            request.extend_from_slice(&(part.len() as u32).to_be_bytes());
            request.extend_from_slice(part);
        }
        let requests = self.requests.as_mut().unwrap();
        requests
            .write_all(&(request.len() as u32).to_be_bytes())
            .unwrap();
        requests.write_all(&request).unwrap();
        requests.flush().unwrap();
        let mut length = [0; 4];
        self.answers.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.answers.read_exact(&mut answer).unwrap();
        let refused = answer.remove(0) != 0;
        (!refused).then_some(answer)
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        drop(self.requests.take());
        self.child.wait().unwrap();
    }
}
