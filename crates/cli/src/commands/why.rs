//! `downbeat why`: every cause for where a task stands, and what would end it.

use downbeat_runtime::why::{self, Company};

use crate::context::Context;
use crate::error::CliError;
use crate::output::style::{self, FAINT, STRONG, paint};
use crate::output::text::clean;

/// Shows why a task stands where it does.
pub(crate) async fn why(text: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let id = context.task(cache.as_ref(), text).await?;
    // One process at a time has an embedded store, and now it is this one.
    let company = if context.is_shared() { Company::Shared } else { Company::Alone };
    let why = why::why(cache.as_ref(), &id, context.now(), company).await?;
    if context.out.is_json() {
        return context.out.value(&why);
    }
    let (mark, colour) = style::of_task(why.status);
    context.out.line(format!(
        "{} {} is {}",
        paint(colour, mark),
        paint(STRONG, &why.task),
        paint(colour, why.status)
    ))?;
    for cause in &why.causes {
        context.out.line("")?;
        context.out.line(format!("  {}", clean(&cause.detail)))?;
        context.out.line(format!("    {} {}", paint(FAINT, "until"), clean(&cause.unblocks_when)))?;
    }
    Ok(())
}
