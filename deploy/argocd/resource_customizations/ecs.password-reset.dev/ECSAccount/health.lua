-- ECSAccount follows kstatus: the status speaks of the generation in observedGeneration, Stalled means that a person has to
-- act. While the controller looks or retries, Ready is Unknown.
local health = {status = "Progressing", message = "Waiting for the controller"}
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    return {status = "Degraded", message = condition.message}
  end
  if condition.type == "Ready" then
    health.message = condition.message
    if condition.status == "True" then
      health.status = "Healthy"
    end
  end
end
return health
