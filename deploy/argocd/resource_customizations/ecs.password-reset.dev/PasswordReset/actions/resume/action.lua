-- The field is removed, not set to false: absent means the same, and a field that is not in Git is not drift.
obj.spec.suspend = nil
return obj
