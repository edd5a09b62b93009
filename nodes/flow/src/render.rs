//! From a matrix to a file: the one layout in which the product writes it.

use guitai_types::place::Text;

use crate::{
    matrix::Matrix,
    names::{End, Port, Word as _},
};

impl Matrix {
    /// The file of this matrix; reading it gives the same matrix.
    pub fn render(&self) -> String {
        let mut out = format!(
            "format = {}\nname = {}\nversion = {}\n",
            quoted(&self.format),
            quoted(&self.name),
            self.version
        );
        let mut add = |lines: std::fmt::Arguments<'_>| out.push_str(&lines.to_string());
        for zone in &self.zones {
            add(format_args!(
                "\n[[zones]]\nid = \"{}\"\nname = {}\n",
                zone.id.word(),
                both(&zone.name)
            ));
        }
        for role in &self.roles {
            add(format_args!(
                "\n[[roles]]\nid = \"{}\"\nzone = \"{}\"\nname = {}\n",
                role.id,
                role.zone.word(),
                both(&role.name)
            ));
        }
        for row in &self.rows {
            add(format_args!(
                "\n[[rows]]\nid = \"{}\"\nfrom = {}\nto = {}\n",
                row.id,
                end(row.from),
                end(row.to)
            ));
            add(format_args!(
                "protocol = \"{}\"\ntransport = \"{}\"\nport = {}\n",
                row.protocol,
                row.transport,
                port(row.port)
            ));
            add(format_args!(
                "opens = \"{}\"\ndata = \"{}\"\nclass = \"{}\"\n",
                row.opens, row.data, row.class
            ));
            if !row.messages.is_empty() {
                let messages: Vec<String> = row.messages.iter().map(|one| quoted(one)).collect();
                add(format_args!("messages = [{}]\n", messages.join(", ")));
            }
            if !row.sealed_for.is_empty() {
                let roles: Vec<String> = row
                    .sealed_for
                    .iter()
                    .map(|role| format!("\"{role}\""))
                    .collect();
                add(format_args!("sealed_for = [{}]\n", roles.join(", ")));
            }
            let limits = &row.limits;
            add(format_args!(
                "limits = {{ message_bytes = {}, messages_per_second = {}, connections_per_second = {} }}\n",
                limits.message_bytes, limits.messages_per_second, limits.connections_per_second
            ));
            add(format_args!(
                "purpose = {}\nowner = {}\nexpires = \"{}\"\n",
                both(&row.purpose),
                quoted(&row.owner),
                row.expires
            ));
        }
        out
    }
}

fn end(end: End) -> String {
    format!(
        "{{ zone = \"{}\", role = \"{}\" }}",
        end.zone.word(),
        end.role
    )
}

fn port(port: Port) -> String {
    match port {
        Port::Named(name) => format!("\"{name}\""),
        Port::Number(number) => number.to_string(),
    }
}

fn both(text: &Text) -> String {
    format!("{{ zh = {}, en = {} }}", quoted(&text.zh), quoted(&text.en))
}

/// A basic string of TOML 1.0. Control characters are refused by the rules; written all the same, they
/// stay one string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
