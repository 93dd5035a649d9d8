{{/* Name of the Deployment, the ServiceAccount and, with a suffix, the metrics Service. */}}
{{- define "aimd.manager.name" -}}
{{ .Values.namePrefix }}-controller-manager
{{- end }}

{{/* Selector of the manager's pods. A Deployment's selector is immutable. */}}
{{- define "aimd.manager.selector" -}}
app.kubernetes.io/name: {{ .Values.namePrefix }}
control-plane: controller-manager
{{- end }}

{{/* Labels of all objects of the chart. */}}
{{- define "aimd.labels" -}}
app.kubernetes.io/name: {{ .Values.namePrefix }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "aimd.manager.image" -}}
{{ .Values.manager.image.repository }}:{{ .Values.manager.image.tag | default .Chart.AppVersion }}
{{- with .Values.manager.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The downloader's image. A tag without a repository selects another version of the manager's image. */}}
{{- define "aimd.downloader.image" -}}
{{- $own := .Values.manager.image -}}
{{- $image := .Values.downloader.image -}}
{{- if $image.repository -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- else if not $image.tag -}}
{{ include "aimd.manager.image" . }}
{{- else -}}
{{ $own.repository }}:{{ $image.tag }}
{{- end -}}
{{- end }}

{{/* The watched namespaces, separated by commas; empty for all. The release namespace has the manager's Lease, and jobs run in the discovery namespace. */}}
{{- define "aimd.namespaces" -}}
{{- if or .Values.namespaced .Values.manager.watchNamespaces -}}
{{ concat .Values.manager.watchNamespaces (list .Release.Namespace .Values.discovery.namespace) | compact | uniq | join "," }}
{{- end -}}
{{- end }}

{{/* The manager's service account as the subject of a binding. */}}
{{- define "aimd.manager.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "aimd.manager.name" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The scheme that serves metrics: https or http; empty if metrics are not served. */}}
{{- define "aimd.metrics.scheme" -}}
{{- with .Values.metrics -}}
{{- if and .enable .secure (not $.Values.namespaced) -}}
https
{{- else if and .enable (not .secure) -}}
http
{{- end -}}
{{- end -}}
{{- end }}

{{/* The Secret with the certificate of /metrics; empty if aimd generates its own. */}}
{{- define "aimd.metrics.certificate" -}}
{{- if and .Values.certManager.enable (eq (include "aimd.metrics.scheme" .) "https") -}}
{{ .Values.namePrefix }}-metrics-server-cert
{{- end -}}
{{- end }}
