{{/* What every object carries. The first label is that of deploy/base. */}}
{{- define "ecs-password-reset.labels" -}}
app.kubernetes.io/name: ecs-password-reset
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What selects the pods; never to change, since a Deployment's selector cannot. */}}
{{- define "ecs-password-reset.selector" -}}
app.kubernetes.io/name: ecs-password-reset
app.kubernetes.io/component: controller
{{- end }}

{{- define "ecs-password-reset.image" -}}
{{- $image := .Values.image -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/*
One object of a file, with the labels added. Everything else is as the file says. Called with a dict: root, object,
annotations.
*/}}
{{- define "ecs-password-reset.object" -}}
{{- $labels := include "ecs-password-reset.labels" .root | fromYaml -}}
{{- $metadata := dict "labels" $labels -}}
{{- with .annotations }}{{ $_ := set $metadata "annotations" . }}{{ end -}}
{{- toYaml (mergeOverwrite .object (dict "metadata" $metadata)) -}}
{{- end }}

{{/* Values that would do harm, and installations that would. */}}
{{- define "ecs-password-reset.checks" -}}
{{- if and (not .Values.leaderElect) (ne (toString .Values.replicaCount) "1") -}}
{{- fail "leaderElect is false: replicaCount must be 1, since two controllers without an election both work" -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- fail "metrics.podMonitor and metrics.serviceMonitor are both enabled: choose one, or every pod is scraped twice" -}}
{{- end -}}
{{- $binding := lookup "rbac.authorization.k8s.io/v1" "ClusterRoleBinding" "" "ecs-password-reset-controller" -}}
{{- range ($binding).subjects -}}
{{- if and (eq .kind "ServiceAccount") (ne .namespace $.Release.Namespace) -}}
{{- fail (printf "the controller is already installed in namespace %s: a second one has records of its own and would reset and restart the same instances again. Install into that namespace, or uninstall the other one once none of its resets is in progress" .namespace) -}}
{{- end -}}
{{- end -}}
{{- end }}
