;; Two functions hand over to each other for ever without using any stack.
(module
  (func $ping (param f64) (result f64) (return_call $pong (local.get 0)))
  (func $pong (param f64) (result f64) (return_call $ping (local.get 0)))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (call $ping (local.get $age))))
