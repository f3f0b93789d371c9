//! Uploaded files.

use rusqlite::{Connection, OptionalExtension, params};

pub(crate) struct File {
    pub(crate) content_type: String,
    pub(crate) name: Option<String>,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn insert(
    connection: &Connection,
    media_id: &str,
    uploader: &str,
    file: &File,
) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO media (media_id, uploader, content_type, file_name, content)
             VALUES (?, ?, ?, ?, ?)",
            params![
                media_id,
                uploader,
                file.content_type,
                file.name,
                file.content
            ],
        )
        .map(drop)
}

pub(crate) fn get(connection: &Connection, media_id: &str) -> rusqlite::Result<Option<File>> {
    connection
        .query_row(
            "SELECT content_type, file_name, content FROM media WHERE media_id = ?",
            [media_id],
            |row| {
                Ok(File {
                    content_type: row.get(0)?,
                    name: row.get(1)?,
                    content: row.get(2)?,
                })
            },
        )
        .optional()
}
