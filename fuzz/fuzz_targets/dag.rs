//! DAG files of any text: no panic; what is accepted is sound and reads back as itself.
#![no_main]

use downbeat_core::dag::{self, Dag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match dag::parse(text) {
        Ok(dag) => {
            assert_eq!(dag.topological_order().len(), dag.len());
            let again = Dag::from_parts(dag.to_parts()).expect("its own parts");
            assert_eq!(again, dag);
        }
        Err(error) => assert!(!error.faults.is_empty()),
    }
});
