//! The objects to reconcile again: the one type of wake-up, and the channels that carry it to the three controllers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;

use crate::api::ecs_account::ECSAccount;
use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::{Owner, ResetRecord};
use crate::cluster::guarded::Guarded;
use crate::cluster::objects::ObjectKey;

/// An object that has a reason to look again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Waiter {
    /// A `PasswordReset`.
    Object {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A `ResetRecord`, by name.
    Record(String),
    /// An `ECSAccount`, by name.
    Account(String),
}

impl Waiter {
    /// The object that owns a claim.
    pub fn owner(owner: &Owner) -> Self {
        Self::Object { namespace: owner.namespace.clone(), name: owner.name.clone() }
    }
}

type Wakes<K> = UnboundedReceiver<ObjectRef<K>>;

/// The objects that are to look again at once: for the others a pass a second is enough.
#[derive(Clone, Default)]
pub struct Urgent(Arc<Mutex<HashSet<ObjectKey>>>);

impl Urgent {
    fn add(&self, key: ObjectKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// Whether an object is to look again at once, which is forgotten.
    pub fn take(&self, key: &ObjectKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

/// Carries wake-ups to the controllers. They are deduplicated by the controllers' schedulers.
#[derive(Clone)]
pub struct Waker {
    urgent: Urgent,
    namespace: String,
    password_resets: UnboundedSender<ObjectRef<PartialObjectMeta<PasswordReset>>>,
    reset_records: UnboundedSender<ObjectRef<PartialObjectMeta<ResetRecord>>>,
    ecs_accounts: UnboundedSender<ObjectRef<Guarded<ECSAccount>>>,
}

/// The ends that the controllers listen to.
pub struct Listeners {
    /// For `PasswordReset`s.
    pub password_resets: Wakes<PartialObjectMeta<PasswordReset>>,
    /// For `ResetRecord`s.
    pub reset_records: Wakes<PartialObjectMeta<ResetRecord>>,
    /// For `ECSAccount`s.
    pub ecs_accounts: Wakes<Guarded<ECSAccount>>,
}

impl Waker {
    /// The channels; records live in `namespace`.
    pub fn new(namespace: &str) -> (Self, Listeners) {
        let (password_resets, objects) = unbounded();
        let (reset_records, records) = unbounded();
        let (ecs_accounts, accounts) = unbounded();
        (
            Self {
                urgent: Urgent::default(),
                namespace: namespace.to_owned(),
                password_resets,
                reset_records,
                ecs_accounts,
            },
            Listeners { password_resets: objects, reset_records: records, ecs_accounts: accounts },
        )
    }

    /// The objects that are to look again at once.
    pub fn urgent(&self) -> Urgent {
        self.urgent.clone()
    }

    /// Requests a reconcile of an object at once.
    pub fn wake(&self, waiter: &Waiter) {
        if let Waiter::Object { namespace, name } = waiter {
            self.urgent.add(ObjectKey::new(namespace, name));
        }
        self.wake_when_due(waiter);
    }

    /// Requests a reconcile of an object, of a `PasswordReset` when its next one is due. A controller that has stopped
    /// does not listen any more, which is not an error.
    pub fn wake_when_due(&self, waiter: &Waiter) {
        match waiter {
            Waiter::Object { namespace, name } => {
                let object = ObjectRef::new(name).within(namespace);
                let _ = self.password_resets.unbounded_send(object);
            }
            Waiter::Record(name) => {
                let _ = self.reset_records.unbounded_send(ObjectRef::new(name).within(&self.namespace));
            }
            Waiter::Account(name) => {
                let _ = self.ecs_accounts.unbounded_send(ObjectRef::new(name));
            }
        }
    }
}
