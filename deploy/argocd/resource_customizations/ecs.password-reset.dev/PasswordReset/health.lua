-- PasswordReset follows kstatus: the status speaks of the generation in observedGeneration, Stalled means that a person has
-- to act, and Ready is False only then. While the controller works or retries, Ready is Unknown.
local health = {status = "Progressing", message = "Waiting for the controller"}
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end

local ready = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    return {status = "Degraded", message = condition.message}
  end
  if condition.type == "Ready" then
    ready = condition
  end
end
if ready == nil then
  return health
end

health.message = ready.message
if ready.status == "True" then
  -- An annotation does not change the generation: until the controller has taken it up, Ready is that of the run before.
  local annotations = obj.metadata.annotations or {}
  local rerun = annotations["ecs.password-reset.dev/rerun-requested-at"]
  if rerun ~= nil and rerun ~= "" and rerun ~= status.lastHandledRerun then
    health.message = "Waiting for the controller to start the requested run"
  else
    health.status = "Healthy"
  end
elseif ready.reason == "Suspended" then
  health.status = "Suspended"
end
return health
