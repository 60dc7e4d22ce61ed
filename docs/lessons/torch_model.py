import torch


class Forecaster(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 16, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(16, 1, batch_first=True)
        self.forecast = torch.nn.Linear(16, 1)

    def forward(self, days):
        states, _ = self.lstm(days)
        mixed, _ = self.attention(states, states, states, need_weights=False)
        return self.forecast(mixed.mean(1))


torch.manual_seed(0)
model = Forecaster()
optimiser = torch.optim.Adam(model.parameters(), 0.01)
data = torch.utils.data.TensorDataset(torch.tensor(x.values), torch.tensor(y))
batches = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
for _ in range(5):
    for days, tomorrow in batches:
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(model(days)[:, 0], tomorrow).backward()
        optimiser.step()
