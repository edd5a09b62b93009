//! What nodes have of certificates and keys: known here so that a change goes into the transparency log once.

use guitai_types::{
    NodeName, Problem, Zone,
    command::Reply,
    custody::{
        CERTIFICATES_HELD_MAX, Custody, CustodyChange, HELD_WORD_BYTES_MAX, Holding, KEYS_HELD_MAX,
        LISTS_HELD_MAX, Told,
    },
    tlog::Record,
};

use crate::{RecordKey, State, apply::Turn, check, tlog::no_log};

impl State {
    /// What is known of a node.
    pub fn custody(&self, node: &NodeName) -> Option<&Custody> {
        self.custody.get(node)
    }
}

impl Turn<'_> {
    pub(crate) fn put_holding(
        &mut self,
        node: &NodeName,
        by: &NodeName,
        holding: &Holding,
    ) -> Result<Reply, Problem> {
        let zone = |name: &NodeName| {
            let member = self.state.member(name).map(|member| member.zone);
            member.ok_or_else(|| check::missing("node"))
        };
        let (of, teller) = (zone(node)?, zone(by)?);
        // Another node's word is taken only of what that node cannot say itself.
        let is_told = teller == Zone::Inner && (of != Zone::Inner || node == by);
        if !is_told {
            return Err(check::bad(format!("{by} does not speak for {node}")));
        }
        check_holding(holding)?;
        // Known without being logged, it would never be.
        if self.state.log.is_none() {
            return Err(no_log());
        }
        let known = self.state.custody.get(node).cloned().unwrap_or_default();
        if known.is_known(holding) {
            return Ok(Reply::Done);
        }
        let told = Told {
            node: node.clone(),
            by: by.clone(),
        };
        let mut next = known.clone();
        match holding {
            Holding::Certificates {
                certificates,
                lists,
            } => {
                self.log(Record::Certificate {
                    told,
                    certificates: CustodyChange::between(&known.certificates, certificates),
                    lists: CustodyChange::between(&known.lists, lists),
                });
                next.certificates.clone_from(certificates);
                next.lists.clone_from(lists);
            }
            Holding::Keys { keys } => {
                self.log(Record::Key {
                    told,
                    keys: CustodyChange::between(&known.keys, keys),
                });
                next.keys.clone_from(keys);
            }
        }
        self.state.custody.insert(node.clone(), next);
        self.changed(RecordKey::Custody(node.clone()));
        Ok(Reply::Done)
    }
}

fn check_holding(holding: &Holding) -> Result<(), Problem> {
    match holding {
        Holding::Certificates {
            certificates,
            lists,
        } => {
            let limit = "CERTIFICATES_HELD_MAX";
            check::at_most(
                "certificates",
                certificates.len(),
                limit,
                CERTIFICATES_HELD_MAX,
            )?;
            check::at_most("lists", lists.len(), "LISTS_HELD_MAX", LISTS_HELD_MAX)?;
            for certificate in certificates {
                word("serial", certificate.serial.0.len())?;
                word("digest", certificate.sm3.0.len())?;
                check::integer("not_after_unix", certificate.not_after_unix)?;
            }
            for list in lists {
                word("issuer", list.issuer.len())?;
                word("number", list.number.len())?;
            }
            ordered(certificates)?;
            ordered(lists)
        }
        Holding::Keys { keys } => {
            check::at_most("keys", keys.len(), "KEYS_HELD_MAX", KEYS_HELD_MAX)?;
            for key in keys {
                word("key id", key.id.len())?;
                word("purpose", key.purpose.len())?;
                check::integer("created_unix", key.created_unix)?;
            }
            ordered(keys)
        }
    }
}

fn word(what: &str, bytes: usize) -> Result<(), Problem> {
    check::at_most(what, bytes, "HELD_WORD_BYTES_MAX", HELD_WORD_BYTES_MAX)
}

/// One form for one holding: otherwise telling the same again would be a change.
fn ordered<T: Ord>(items: &[T]) -> Result<(), Problem> {
    if items.is_sorted_by(|one, next| one < next) {
        return Ok(());
    }
    Err(check::bad("what is held is in order, and none twice"))
}
