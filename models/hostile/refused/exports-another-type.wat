;; Takes other features than its manifest says.
;; Refused with: model/export-type
(module (func (export "score") (param f64) (result f64) (local.get 0)))
