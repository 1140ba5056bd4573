;; Answers with the size of a table that it grows by one per person.
(module
  (table 1 funcref)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (drop (table.grow (ref.null func) (i32.const 1)))
    (f64.mul (f64.convert_i32_u (table.size)) (f64.const 0.01))))
