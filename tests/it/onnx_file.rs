//! Writes small ONNX files by hand: the few fields of the format that the tests need.

/// Type of a tensor's values, as the format numbers them.
#[derive(Clone, Copy)]
pub(crate) enum Type {
    Float = 1,
    Uint8 = 2,
    Int64 = 7,
    Float16 = 10,
}

/// A message of the wire format.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }
}

/// A model in the making.
#[derive(Clone, Default)]
pub(crate) struct OnnxFile {
    graph: Message,
    metadata: Vec<(String, String)>,
}

impl OnnxFile {
    /// An input; -1 leaves an axis open.
    pub(crate) fn input(mut self, name: &str, ty: Type, shape: &[i64]) -> Self {
        self.graph = self.graph.message(11, &value(name, ty, shape));
        self
    }

    pub(crate) fn output(mut self, name: &str, ty: Type, shape: &[i64]) -> Self {
        self.graph = self.graph.message(12, &value(name, ty, shape));
        self
    }

    /// A step, with attributes that are lists of whole numbers.
    pub(crate) fn node(mut self, op: &str, inputs: &[&str], output: &str, lists: &[(&str, &[i64])]) -> Self {
        let mut node = Message::default();
        for input in inputs {
            node = node.bytes(1, input.as_bytes());
        }
        node = node.bytes(2, output.as_bytes()).bytes(3, output.as_bytes()).bytes(4, op.as_bytes());
        for (name, list) in lists {
            let attribute = Message::default().bytes(1, name.as_bytes());
            let attribute = list.iter().fold(attribute, |a, v| a.int(8, *v)).int(20, 7);
            node = node.message(5, &attribute);
        }
        self.graph = self.graph.message(1, &node);
        self
    }

    /// A step that turns values into another type.
    pub(crate) fn cast(mut self, input: &str, output: &str, to: Type) -> Self {
        let attribute = Message::default().bytes(1, b"to").int(3, to as i64).int(20, 2);
        let node = Message::default()
            .bytes(1, input.as_bytes())
            .bytes(2, output.as_bytes())
            .bytes(3, output.as_bytes())
            .bytes(4, b"Cast");
        self.graph = self.graph.message(1, &node.message(5, &attribute));
        self
    }

    pub(crate) fn floats(mut self, name: &str, shape: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.graph = self.graph.message(5, &tensor(name, Type::Float, shape, &raw));
        self
    }

    pub(crate) fn integers(mut self, name: &str, values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.graph = self.graph.message(5, &tensor(name, Type::Int64, &[values.len() as i64], &raw));
        self
    }

    pub(crate) fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let opset = Message::default().bytes(1, b"").int(2, 17);
        let graph = self.graph.clone().bytes(2, b"graph");
        let mut model = Message::default().int(1, 8).message(7, &graph).message(8, &opset);
        for (key, value) in &self.metadata {
            let entry = Message::default().bytes(1, key.as_bytes()).bytes(2, value.as_bytes());
            model = model.message(14, &entry);
        }
        model.0
    }
}

fn value(name: &str, ty: Type, shape: &[i64]) -> Message {
    let mut dims = Message::default();
    for (axis, &size) in shape.iter().enumerate() {
        let dim = Message::default();
        let dim = if size < 0 { dim.bytes(2, format!("axis{axis}").as_bytes()) } else { dim.int(1, size) };
        dims = dims.message(1, &dim);
    }
    let tensor = Message::default().int(1, ty as i64).message(2, &dims);
    Message::default().bytes(1, name.as_bytes()).message(2, &Message::default().message(1, &tensor))
}

fn tensor(name: &str, ty: Type, shape: &[i64], raw: &[u8]) -> Message {
    let tensor = shape.iter().fold(Message::default(), |t, size| t.int(1, *size));
    tensor.int(2, ty as i64).bytes(8, name.as_bytes()).bytes(9, raw)
}
