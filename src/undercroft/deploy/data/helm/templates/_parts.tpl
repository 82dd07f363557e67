{{/* What several templates share. Each takes a dict with `root` and, where it matters, `role`. */}}

{{- define "undercroft.app" -}}
{{ .root.Release.Name }}{{ if ne .role "api" }}-{{ .role }}{{ end }}
{{- end }}

{{/* `app` is what selectors go by; the others are for people and dashboards. */}}
{{- define "undercroft.labels" -}}
app: {{ include "undercroft.app" . }}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "undercroft.podLabels" -}}
app: {{ include "undercroft.app" . }}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "undercroft.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "undercroft.apiImage" -}}
{{- if .Values.gpu.count -}}
{{ .Values.gpu.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- else -}}
{{ include "undercroft.image" . }}
{{- end }}
{{- end }}

{{- define "undercroft.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "undercroft.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* All variables come from the one secret, but where the settings file lies. */}}
{{- define "undercroft.environment" -}}
{{- if .Values.settings }}
- name: UNDERCROFT_CONFIG
  value: /etc/undercroft/undercroft.toml
{{- end }}
{{- range .Values.secret.variables }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.secret.name }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}
{{- end }}

{{- define "undercroft.spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      app: {{ include "undercroft.app" $ }}
{{- end }}
{{- end }}

{{/* Call records on their way to the database: less than a second's, and what a dying node takes with it. */}}
{{- define "undercroft.volumes" -}}
- name: data
  emptyDir:
    sizeLimit: {{ .Values.spool }}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- end }}

{{- define "undercroft.mounts" -}}
- name: data
  mountPath: /var/lib/undercroft
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "undercroft.settingsVolume" -}}
- name: config
  configMap:
    name: {{ .Release.Name }}-config
{{- end }}

{{- define "undercroft.settingsMount" -}}
- name: config
  mountPath: /etc/undercroft
  readOnly: true
{{- end }}

{{- define "undercroft.egress" -}}
- ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
- ports:
    {{- range .Values.egressPorts }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
{{- end }}
