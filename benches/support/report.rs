//! The tables and the plot.

use std::fmt::{self, Write};

use super::{
    cells::{COLUMNS, Place, STACKS},
    rows::ROWS,
};

/// What one cell costs per request.
pub struct Measured {
    pub place: Place,
    /// Nanoseconds.
    pub minimum: f64,
    pub median: f64,
    pub allocations: f64,
    pub bytes: f64,
    pub instructions: Option<f64>,
}

/// As it was measured: nothing is subtracted.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { stack, row, column } = self.place;
        let (minimum, median) = (self.minimum, self.median);
        write!(
            f,
            "{stack}, {row}, {column}: {minimum:.0} ns (median {median:.0}), {:.2} allocations of {:.0} bytes",
            self.allocations, self.bytes
        )
    }
}

pub struct Report(Vec<Measured>);

const IDENTITY: &str = COLUMNS[1];

impl Report {
    pub fn new(measured: Vec<Measured>) -> Self {
        Self(measured)
    }

    fn get(&self, stack: &str, row: &str, column: &str) -> Option<&Measured> {
        let place = |place: Place| (place.stack, place.row, place.column);
        let mut cells = self.0.iter();
        cells.find(|cell| place(cell.place) == (stack, row, column))
    }

    /// A table for each stack and each thing that was measured.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for stack in STACKS {
            if !self.0.iter().any(|cell| cell.place.stack == stack) {
                continue;
            }
            let _ = writeln!(text, "\n### {stack}");
            self.table(&mut text, stack, "Time over the identity layer in ns, minimum / median (ratio of the whole to the identity layer's, by the minimum)", |cell, identity| {
                let ratio = cell.minimum / identity.minimum;
                let (minimum, median) = (cell.minimum - identity.minimum, cell.median - identity.median);
                format!("{minimum:.0} / {median:.0} ({ratio:.2})")
            });
            self.table(
                &mut text,
                stack,
                "Allocations over the identity layer (bytes)",
                |cell, identity| {
                    let allocations = cell.allocations - identity.allocations;
                    format!(
                        "{:.2} ({:.0})",
                        allocations + 0.0,
                        cell.bytes - identity.bytes
                    )
                },
            );
            self.table(
                &mut text,
                stack,
                "Instructions over the identity layer",
                |cell, identity| match (cell.instructions, identity.instructions) {
                    (Some(instructions), Some(identity)) => {
                        format!("{:.0}", instructions - identity)
                    }
                    _ => "–".into(),
                },
            );
        }
        text
    }

    fn table(
        &self,
        text: &mut String,
        stack: &str,
        caption: &str,
        show: impl Fn(&Measured, &Measured) -> String,
    ) {
        let _ = writeln!(text, "\n{caption}:\n\n| | {} |", COLUMNS.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(COLUMNS.len()));
        for row in ROWS {
            let Some(identity) = self.get(stack, row.name, IDENTITY) else {
                continue;
            };
            let _ = write!(text, "| {} |", row.name);
            for column in COLUMNS {
                let cell = self.get(stack, row.name, column);
                let shown = cell.map_or_else(|| "–".into(), |cell| show(cell, identity));
                let _ = write!(text, " {shown} |");
            }
            text.push('\n');
        }
    }

    /// The times over the identity layer as bars, a panel for each stack. What is restricted or
    /// awaited is left out: it would make the bars of what every request costs too short to see.
    pub fn svg(&self) -> String {
        const ROWS_SHOWN: [&str; 3] = [
            "no credential",
            "active, answer at hand",
            "active, with a query",
        ];
        const SHOWN: [(&str, &str); 5] = [
            ("bare check", "#9e9e9e"),
            ("this layer", "#1b7f4d"),
            ("this layer, wrapped bodies", "#7fc29b"),
            ("AsyncRequireAuthorization", "#d08a1d"),
            ("from_fn_with_state", "#b3402e"),
        ];
        const LEFT: f64 = 190.0;
        const WIDTH: f64 = 520.0;
        let over = |stack, row, column| {
            let cell = self.get(stack, row, column)?;
            Some((cell.minimum - self.get(stack, row, IDENTITY)?.minimum).max(0.0))
        };
        let all = STACKS.iter().flat_map(|stack| {
            ROWS_SHOWN.iter().flat_map(move |row| {
                SHOWN
                    .iter()
                    .filter_map(move |(column, _)| over(stack, row, column))
            })
        });
        let longest = all.fold(1.0, f64::max);
        let mut bars = String::new();
        let mut y = 50.0;
        for stack in STACKS {
            let _ = writeln!(
                bars,
                r#"<text x="10" y="{}" font-weight="bold">{stack}</text>"#,
                y + 4.0
            );
            y += 14.0;
            for row in ROWS_SHOWN {
                let _ = writeln!(bars, r#"<text x="10" y="{}">{row}</text>"#, y + 12.0);
                for (column, colour) in SHOWN {
                    let Some(time) = over(stack, row, column) else {
                        continue;
                    };
                    let width = time / longest * WIDTH;
                    let _ = writeln!(
                        bars,
                        r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="10" fill="{colour}"/><text x="{:.1}" y="{:.1}" font-size="9">{time:.0}</text>"#,
                        LEFT + width + 4.0,
                        y + 9.0,
                    );
                    y += 12.0;
                }
                y += 8.0;
            }
            y += 12.0;
        }
        let mut legend = String::new();
        for ((column, colour), number) in SHOWN.iter().zip(0_u8..) {
            let x = 10.0 + f64::from(number) * 165.0;
            let _ = writeln!(
                legend,
                r#"<rect x="{x}" y="22" width="10" height="10" fill="{colour}"/><text x="{}" y="31" font-size="10">{column}</text>"#,
                x + 14.0,
            );
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"850\" height=\"{y}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"14\" font-weight=\"bold\">Nanoseconds per request over an identity layer (shorter is better)</text>\n\
             {legend}{bars}</svg>\n"
        )
    }
}
