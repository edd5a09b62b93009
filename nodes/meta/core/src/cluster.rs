//! Founding a cluster, and what operators change: nodes, staff, policy, epoch.

use std::collections::BTreeSet;

use guitai_types::{
    Epoch, InstitutionId, Member, Problem,
    command::{Command, Reply},
    event::Change,
    limits::{MEMBERS_MAX, STAFF_MAX},
    record::{Institution, Policy, Staff},
    tlog::Record,
};

use crate::{
    RecordKey, State,
    apply::Turn,
    check,
    index::Put,
    limits::{INSTITUTIONS_MAX, QUEUES_MAX, STEPS_MAX},
    state::Places,
};

/// Shortest time a policy may give, in milliseconds: less than a page needs to answer.
const POLICY_MS_MIN: u64 = 100;
/// Longest, a day: more is a mistake of unit.
const POLICY_MS_MAX: u64 = 24 * 60 * 60 * 1000;

impl Turn<'_> {
    /// First entry of a cluster. Founding it again under the same id is no fault: whoever founds
    /// may have been stopped before it saw the answer.
    pub(crate) fn found(&mut self, command: &Command) -> Result<Reply, Problem> {
        let Command::Found {
            cluster,
            cities,
            centres,
            members,
            institutions,
            staff,
            policy,
        } = command
        else {
            return Err(check::bad("not a founding"));
        };
        match self.state.cluster() {
            Some(present) if present == cluster => return Ok(Reply::Done),
            Some(present) => {
                return Err(check::wrong(format!(
                    "the cluster exists under the id {present}"
                )));
            }
            None => {}
        }
        let places = Places {
            cities: cities.clone(),
            centres: centres.clone(),
        };
        let mut new = State {
            places,
            ..State::default()
        };
        check_places(&new)?;
        for member in members {
            check_member(&new, member)?;
            new.members.insert(member.id, member.clone());
        }
        for institution in institutions {
            check_institution(institution)?;
            let present = new.institutions.len();
            check::room(
                "institutions",
                present,
                "INSTITUTIONS_MAX",
                INSTITUTIONS_MAX,
            )?;
            let id = institution.id.clone();
            if new
                .institutions
                .insert(id.clone(), institution.clone())
                .is_some()
            {
                return Err(check::bad(format!("institution {id} is there twice")));
            }
        }
        for account in staff {
            check_staff(&new, account)?;
            new.staff.insert(account.id.clone(), account.clone());
        }
        check_policy(policy)?;

        self.state.head.cluster = Some(cluster.clone());
        self.state.head.epoch = Epoch(1);
        self.state.head.policy = policy.clone();
        self.state.places = new.places;
        self.state.members = new.members;
        self.state.institutions = new.institutions;
        self.state.staff = new.staff;
        self.reindex();
        self.changed(RecordKey::Places);
        members
            .iter()
            .for_each(|it| self.changed(RecordKey::Member(it.id)));
        institutions
            .iter()
            .for_each(|it| self.changed(RecordKey::Institution(it.id.clone())));
        staff
            .iter()
            .for_each(|it| self.changed(RecordKey::Staff(it.id.clone())));
        self.emit(None, Change::Cluster);
        Ok(Reply::Done)
    }

    pub(crate) fn put_member(&mut self, member: &Member) -> Result<Reply, Problem> {
        check_member(self.state, member)?;
        self.state.members.insert(member.id, member.clone());
        self.changed(RecordKey::Member(member.id));
        self.log(Record::Member {
            member: Box::new(member.clone()),
        });
        self.emit(None, Change::Cluster);
        Ok(Reply::Done)
    }

    pub(crate) fn put_staff(&mut self, staff: &Staff) -> Result<Reply, Problem> {
        check_staff(self.state, staff)?;
        // New skills: the desk leaves the queues it served and enters those it serves now.
        let State {
            desks,
            index,
            institutions,
            staff: accounts,
            ..
        } = &mut *self.state;
        let institution = institutions.get(&staff.id.institution);
        if let Some(desk) = desks.get(&staff.id) {
            index.desk(Put::Out, desk, accounts.get(&staff.id), institution);
            index.desk(Put::In, desk, Some(staff), institution);
        }
        accounts.insert(staff.id.clone(), staff.clone());
        self.changed(RecordKey::Staff(staff.id.clone()));
        self.log(Record::Staff {
            account: Box::new(staff.into()),
        });
        self.moved.insert(staff.id.institution.clone());
        self.emit(Some(&staff.id.institution), Change::Cluster);
        Ok(Reply::Done)
    }

    pub(crate) fn put_policy(&mut self, policy: &Policy) -> Result<Reply, Problem> {
        check_policy(policy)?;
        self.state.head.policy = policy.clone();
        // Every due time of a ticket or session follows from the policy.
        self.reindex();
        self.log(Record::Policy {
            policy: policy.clone(),
        });
        self.emit(None, Change::Cluster);
        Ok(Reply::Done)
    }

    pub(crate) fn raise_epoch(&mut self, epoch: Epoch) -> Result<Reply, Problem> {
        let present = self.state.head.epoch;
        if epoch <= present {
            let detail = format!(
                "epoch {} is not above the present one, {}",
                epoch.0, present.0
            );
            return Err(check::wrong(detail));
        }
        self.state.head.epoch = epoch;
        self.log(Record::Epoch { epoch });
        self.emit(None, Change::Cluster);
        Ok(Reply::Done)
    }
}

fn check_places(new: &State) -> Result<(), Problem> {
    let cities: BTreeSet<_> = new.places.cities.iter().map(|city| &city.id).collect();
    let centres: BTreeSet<_> = new.places.centres.iter().map(|centre| &centre.id).collect();
    if cities.len() != new.places.cities.len() || centres.len() != new.places.centres.len() {
        return Err(check::bad("a city or centre is there twice"));
    }
    check::at_most("centres", centres.len(), "MEMBERS_MAX", MEMBERS_MAX)?;
    match new
        .places
        .centres
        .iter()
        .find(|centre| !cities.contains(&centre.city))
    {
        Some(centre) => Err(check::bad(format!(
            "centre {} is in no known city",
            centre.id
        ))),
        None => Ok(()),
    }
}

fn check_member(state: &State, member: &Member) -> Result<(), Problem> {
    if state.centre(&member.centre).is_none() {
        return Err(check::missing("centre"));
    }
    let namesake = state.member(&member.name);
    if let Some(other) = namesake.filter(|other| other.id != member.id) {
        return Err(check::wrong(format!(
            "node {} has the name {}",
            other.id, other.name
        )));
    }
    let present = state.members.len();
    if state.members.contains_key(&member.id) {
        return Ok(());
    }
    check::room("members", present, "MEMBERS_MAX", MEMBERS_MAX)
}

fn check_institution(institution: &Institution) -> Result<(), Problem> {
    let queues = institution.queues.len();
    check::at_most("queues of an institution", queues, "QUEUES_MAX", QUEUES_MAX)?;
    let ids: BTreeSet<_> = institution.queues.iter().map(|queue| &queue.id).collect();
    if ids.len() != queues {
        return Err(check::bad(format!(
            "a queue of {} is there twice",
            institution.id
        )));
    }
    for queue in &institution.queues {
        check::at_most(
            "steps of a queue",
            queue.steps.len(),
            "STEPS_MAX",
            STEPS_MAX,
        )?;
        queue
            .steps
            .iter()
            .try_for_each(|step| check::word("step", &step.id))?;
    }
    Ok(())
}

fn check_staff(state: &State, staff: &Staff) -> Result<(), Problem> {
    if !state.institutions.contains_key(&staff.id.institution) {
        return Err(check::missing("institution"));
    }
    check::name("display name", &staff.display)?;
    if state.staff.contains_key(&staff.id) {
        return Ok(());
    }
    let present = staff_of(state, &staff.id.institution);
    check::room("staff of an institution", present, "STAFF_MAX", STAFF_MAX)
}

fn staff_of(state: &State, institution: &InstitutionId) -> usize {
    state
        .staff
        .keys()
        .filter(|staff| &staff.institution == institution)
        .count()
}

fn check_policy(policy: &Policy) -> Result<(), Problem> {
    let times = [
        ("ring_ms", policy.ring_ms),
        ("away_ms", policy.away_ms),
        ("unrecorded_ms", policy.unrecorded_ms),
    ];
    for (what, ms) in times {
        if !(POLICY_MS_MIN..=POLICY_MS_MAX).contains(&ms) {
            let detail = format!("{what} is {ms}, allowed is {POLICY_MS_MIN} to {POLICY_MS_MAX}");
            return Err(check::bad(detail));
        }
    }
    Ok(())
}
