//! Schemas of our types, as each side of the wire sees them.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// Where the schemas of the document lie.
const COMPONENTS: &str = "/components/schemas";

/// Schemas of types, as one side of the wire sees them.
#[derive(Debug)]
pub(crate) struct Schemas {
    generator: SchemaGenerator,
}

impl Schemas {
    /// Of what is sent: nothing more than is asked for.
    pub(crate) fn requests() -> Self {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with_transform(Strict);
        Self::of(settings.with_transform(Whole))
    }

    /// Of what is answered: a later version may say more.
    pub(super) fn answers() -> Self {
        Self::of(SchemaSettings::draft2020_12().for_serialize().with_transform(Whole))
    }

    fn of(settings: SchemaSettings) -> Self {
        let settings = settings.with(|settings| settings.meta_schema = None);
        let settings = settings.with(|settings| settings.definitions_path = COMPONENTS.into());
        Self { generator: settings.into_generator() }
    }

    /// A reference to the schema of a type, which becomes a component.
    pub(super) fn component<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// The schema of a type with all that it refers to, to check values by.
    pub(crate) fn alone<T: JsonSchema>(&mut self) -> Value {
        let mut settings = self.generator.settings().clone();
        settings.definitions_path = "/$defs".into();
        settings.into_generator().into_root_schema_for::<T>().to_value()
    }

    pub(super) fn components(mut self) -> Map<String, Value> {
        self.generator.take_definitions(true)
    }
}

/// Objects take no fields that they have no name for.
#[derive(Debug, Clone)]
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(object) = schema.as_object_mut()
            && object.contains_key("properties")
            && !object.contains_key("additionalProperties")
        {
            object.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }
}

/// Numbers of a width say how large they are. That a list has no value twice is nothing that anybody who sends
/// one has to see to.
#[derive(Debug, Clone)]
struct Whole;

impl Transform for Whole {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        let most = match object.get("format").and_then(Value::as_str) {
            Some("uint8") => json!(u8::MAX),
            Some("uint16") => json!(u16::MAX),
            Some("uint32") => json!(u32::MAX),
            // What JSON's readers hold exactly.
            Some("uint64" | "uint") => json!(u64::MAX),
            _ => Value::Null,
        };
        if !most.is_null() && !object.contains_key("maximum") {
            object.insert("maximum".to_owned(), most);
        }
        object.remove("uniqueItems");
    }
}
