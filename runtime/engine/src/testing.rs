//! What benchmarks need from the inside. Not part of the interface.

use datafusion::logical_expr::ScalarUDF;

/// A row model as the function that the engine gives to a product's SQL.
pub fn row_model(model: yunei_sandbox::Model) -> ScalarUDF {
    crate::functions::RowModel::udf(model)
}
