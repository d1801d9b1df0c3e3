# Runs Debian's RabbitMQ in a pod, as any user: all that it writes goes to /data. See README.md.
printf '%s\n' 'listeners.tcp.default = 5672' 'loopback_users = none' 'log.console = true' > /data/rabbitmq.conf
export HOME=/data RABBITMQ_NODENAME=rabbit@localhost RABBITMQ_MNESIA_BASE=/data/db RABBITMQ_LOG_BASE=/data RABBITMQ_LOGS=-
export RABBITMQ_CONFIG_FILE=/data/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=/data/enabled_plugins
exec /usr/lib/rabbitmq/bin/rabbitmq-server
