//! Drafts that are refused, each with all that is said of it.

use super::*;
