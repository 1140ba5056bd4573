;; Has no function to call.
;; Refused with: model/export-missing
(module)
