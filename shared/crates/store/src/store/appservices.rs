//! The one item that holds all application services.

use aws_sdk_dynamodb::operation::put_item::PutItemError;

use super::{
    Store, StoreError,
    item::{Item, Row, number},
    keys::{APPSERVICES, MAIN},
    retry::CallError,
};
use crate::appservices::AppserviceRecord;

/// All application services, and the version by which a change is made on top of what was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppservicesRow {
    /// 0 if nothing was ever stored.
    pub version: i64,
    /// The application services.
    pub records: Vec<AppserviceRecord>,
}

impl AppservicesRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let records =
            serde_json::from_str(row.text("records")?).map_err(|_| row.corrupt("records"))?;
        Ok(Self {
            version: row.number("version")?,
            records,
        })
    }
}

impl Store {
    /// Replaces the application services by `records`, if `read` is still what is stored; `false`
    /// if somebody else was quicker.
    pub async fn replace_appservices(
        &self,
        read: &AppservicesRow,
        records: &[AppserviceRecord],
    ) -> Result<bool, StoreError> {
        let text = serde_json::to_string(records)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let item = Item::under(APPSERVICES, MAIN)
            .number("schema", 1)
            .number("version", read.version + 1)
            .text("records", text)
            .build();
        let item = &item;
        self.retry(|| async move {
            let call = self
                .client
                .put_item()
                .table_name(&self.accounts)
                .set_item(Some(item.clone()))
                .condition_expression("attribute_not_exists(pk) OR version = :read")
                .expression_attribute_values(":read", number(read.version));
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
                {
                    Ok(false)
                }
                Err(error) => Err(CallError::<StoreError>::from(error)),
            }
        })
        .await
    }
}
