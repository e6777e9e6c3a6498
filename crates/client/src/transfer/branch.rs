//! A directory of a tree while something in it is still under way: its mode and times come last.
//!
//! Everything that happens in a directory holds its branch, and a branch holds the one above. Whoever
//! lets go last sets the attributes, so that nothing which happens in the directory changes them again,
//! and no list of all directories is kept: what there is of branches is bounded by what is under way.

use std::sync::Arc;

use super::lanes::Reached;
use super::local::{self, LocalDir};
use super::{Context, blocking};
use crate::Error;
use crate::sftp::Attrs;

/// See the module.
pub(super) struct Branch {
    above: Option<Arc<Branch>>,
    /// For messages.
    source: Vec<u8>,
    late: Late,
}

/// What is set last.
pub(super) enum Late {
    Nothing,
    Here(Arc<LocalDir>, Attrs),
    There(Vec<u8>, Attrs),
}

impl Branch {
    pub(super) fn new(above: Option<Arc<Self>>, source: &[u8], late: Late) -> Arc<Self> {
        Arc::new(Self { above, source: source.to_vec(), late })
    }

    /// Lets go of a branch, and of those above it of which it was the last.
    pub(super) async fn leave(self: Arc<Self>, context: &Context) {
        let mut next = Some(self);
        while let Some(last) = next.and_then(Arc::into_inner) {
            if !context.is_stopped()
                && let Err(error) = last.late.set(context, &last.source).await
            {
                context.failed(&last.source, error);
            }
            next = last.above;
        }
    }
}

impl Late {
    async fn set(&self, context: &Context, source: &[u8]) -> Result<(), Error> {
        match self {
            Self::Nothing => Ok(()),
            Self::Here(dir, attrs) => {
                let (dir, attrs) = (dir.clone(), *attrs);
                blocking(move || {
                    let mode = attrs.permissions.map(|mode| mode & 0o777);
                    dir.set_attrs(mode, local::timestamps(&attrs))
                })
                .await?
            }
            Self::There(path, attrs) => {
                let set =
                    |lane: Arc<super::Lane>| async move { lane.sftp.set_attrs(path, attrs).await };
                context.on_lane(source, &Reached::default(), set).await
            }
        }
    }
}
